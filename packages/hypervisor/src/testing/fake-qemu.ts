/**
 * A QEMU to talk to without QEMU: a QMP server on real unix sockets over a model of the run state and of migration. Two of them migrate to each other through real
 * sockets, so relays can be put in between. What it says and when is held to the real one's by the compliance suite beside it.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { MigrationStatus, RunState } from '../qmp/vocabulary.ts';
import { FakeIncoming, FakeOutgoing } from './fake-migration.ts';

export interface FakeQemuOptions {
  /** QMP sockets to listen on; each serves one client at a time, as QEMU's do. */
  readonly qmpSockets: readonly string[];
  /** `-S` */
  readonly paused?: boolean;
  /** `-incoming defer` */
  readonly incoming?: boolean;
  /** What pre-copy sends on each channel. Default: 64 KiB. */
  readonly ramBytes?: number;
  /** `7.2` is [7, 2]. */
  readonly version?: readonly [major: number, minor: number];
}

/** Thrown by a scripted answer, it is QEMU's `error`. */
export class FakeRefusal extends Error {
  readonly qemuClass: string;
  constructor(description: string, qemuClass = 'GenericError') {
    super(description);
    this.qemuClass = qemuClass;
  }
}

export type FakeAnswer = (args: Readonly<Record<string, unknown>>) => unknown;

const CAPABILITIES = [
  'xbzrle',
  'auto-converge',
  'compress',
  'events',
  'postcopy-ram',
  'return-path',
  'pause-before-switchover',
  'multifd',
  'late-block-activate',
  'zero-copy-send',
];

export class FakeQemu implements AsyncDisposable {
  /** Every command heard, in order. */
  readonly commands: string[] = [];
  /** Resolves when it has quit, was killed, or exited by itself as a destination does whose migration fails. */
  readonly exited: Promise<void>;
  readonly parameters = new Map<string, unknown>();
  /** Pre-copy does not end before this has resolved. */
  preCopyDone: Promise<void> = Promise.resolve();
  runState: RunState;
  readonly #options: FakeQemuOptions;
  readonly #capabilities = new Map(CAPABILITIES.map((name) => [name, false]));
  readonly #scripted = new Map<string, FakeAnswer>();
  readonly #servers: Server[] = [];
  readonly #clients = new Set<FakeClient>();
  readonly #resolveExited: () => void;
  #status: MigrationStatus = 'none';
  #error: string | undefined;
  #outgoing: FakeOutgoing | undefined;
  #incoming: FakeIncoming | undefined;

  static async start(options: FakeQemuOptions): Promise<FakeQemu> {
    const fake = new FakeQemu(options);
    await Promise.all(options.qmpSockets.map((path) => fake.#listen(path)));
    return fake;
  }

  private constructor(options: FakeQemuOptions) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.exited = promise;
    this.#resolveExited = resolve;
    this.#options = options;
    this.runState = options.incoming ? 'inmigrate' : options.paused ? 'prelaunch' : 'running';
  }

  get migrationStatus(): MigrationStatus {
    return this.#status;
  }

  has(capability: string): boolean {
    return this.#capabilities.get(capability) === true;
  }

  /** Answers a command by a script from now on: with what it returns or resolves to, or a refusal that it throws; never, where its promise never settles. */
  answer(command: string, script: FakeAnswer): void {
    this.#scripted.set(command, script);
  }

  /** Sends an event to every client. */
  emit(event: string, data?: object): void {
    const now = Date.now();
    const timestamp = { seconds: Math.floor(now / 1000), microseconds: (now % 1000) * 1000 };
    for (const client of this.#clients) client.send({ timestamp, event, ...(data && { data }) });
  }

  /** Sends bytes as they are to every client: for garbage. */
  emitRaw(text: string): void {
    for (const client of this.#clients) client.sendRaw(text);
  }

  /** Cuts every QMP conversation; it runs on and can be talked to again. */
  dropClients(): void {
    for (const client of this.#clients) client.socket.destroy();
  }

  /** As QEMU's main loop does: a machine that does not run is afterwards as if it never had. */
  reset(): void {
    this.emit('RESET', { guest: false, reason: 'host-qmp-system-reset' });
    if (this.runState !== 'running' && this.runState !== 'inmigrate' && this.runState !== 'finish-migrate') this.runState = 'prelaunch';
  }

  /** The guest shuts down; QEMU stays, as with `-no-shutdown`. */
  shutDownGuest(): void {
    this.emit('SHUTDOWN', { guest: true, reason: 'guest-shutdown' });
    this.pause('shutdown');
  }

  /** As SIGKILL does it: everything is closed, nothing is said. */
  kill(): void {
    this.#outgoing?.destroy();
    this.#incoming?.destroy();
    for (const server of this.#servers) server.close();
    for (const client of this.#clients) client.socket.destroy();
    this.#resolveExited();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.exited;
  }

  /** @returns whether it was running */
  pause(state: RunState): boolean {
    const was = this.runState === 'running';
    this.runState = state;
    if (was) this.emit('STOP');
    return was;
  }

  resume(): void {
    if (this.runState === 'running') return;
    this.runState = 'running';
    this.emit('RESUME');
  }

  setMigration(status: MigrationStatus, error?: string): void {
    this.#status = status;
    this.#error = error;
    if (this.has('events')) this.emit('MIGRATION', { status });
  }

  #listen(path: string): Promise<void> {
    const waiting: Socket[] = [];
    let served: FakeClient | undefined;
    const serve = (): void => {
      const socket = served ? undefined : waiting.shift();
      if (!socket) return;
      const client = new FakeClient(socket, (command, args) => this.#run(command, args));
      served = client;
      this.#clients.add(client);
      socket.once('close', () => {
        this.#clients.delete(client);
        served = undefined;
        serve();
      });
      const [major, minor] = this.#options.version ?? [7, 2];
      client.send({ QMP: { version: { qemu: { micro: 0, minor, major }, package: 'fake' }, capabilities: [] } });
    };
    const server = createServer((socket) => {
      socket.on('error', () => {});
      waiting.push(socket);
      serve();
    });
    this.#servers.push(server);
    return new Promise((resolve, reject) => server.once('error', reject).listen(path, resolve));
  }

  async #run(command: string, args: Readonly<Record<string, unknown>>): Promise<unknown> {
    this.commands.push(command);
    const script = this.#scripted.get(command);
    return script ? await script(args) : this.#answer(command, args);
  }

  #answer(command: string, args: Readonly<Record<string, unknown>>): unknown {
    switch (command) {
      case 'query-status':
        return { status: this.runState, running: this.runState === 'running', singlestep: false };
      case 'query-migrate':
        return this.#status === 'none' ? {} : this.#migrationInfo();
      case 'query-migrate-capabilities':
        return [...this.#capabilities].map(([capability, state]) => ({ capability, state }));
      case 'query-migrate-parameters':
        return Object.fromEntries(this.parameters);
      case 'migrate-set-capabilities':
        return this.#setCapabilities(args);
      case 'migrate-set-parameters':
        for (const [name, value] of Object.entries(args)) this.parameters.set(name, value);
        return {};
      case 'query-yank':
        return this.#outgoing?.active ? [{ type: 'migration' }] : [];
      case 'migrate':
        return this.#migrate(pathOf(args));
      case 'migrate-incoming':
        return this.#migrateIncoming(pathOf(args));
      case 'migrate-continue':
        if (this.#status !== 'pre-switchover') throw new FakeRefusal(`Migration not in expected state: ${this.#status}`);
        this.#outgoing?.continue();
        return {};
      case 'migrate_cancel':
        this.#outgoing?.cancel();
        return {};
      case 'stop':
        this.pause('paused');
        return {};
      case 'cont':
        return this.#cont();
      case 'system_powerdown':
        this.emit('POWERDOWN');
        setImmediate(() => this.shutDownGuest());
        return {};
      case 'announce-self':
        return {};
      case 'system_reset':
        setImmediate(() => this.reset());
        return {};
      case 'quit':
        this.emit('SHUTDOWN', { guest: false, reason: 'host-qmp-quit' });
        setImmediate(() => this.kill());
        return {};
      default:
        throw new FakeRefusal(`The command ${command} has not been found`, 'CommandNotFound');
    }
  }

  #cont(): object {
    if (this.runState === 'shutdown') throw new FakeRefusal('Resetting the Virtual Machine is required');
    if (this.runState === 'finish-migrate') throw new FakeRefusal('Migration is not finalized yet');
    if (this.runState === 'inmigrate') this.#incoming?.runWhenLoaded();
    else this.resume();
    return {};
  }

  #setCapabilities(args: Readonly<Record<string, unknown>>): object {
    if (this.#outgoing?.active || this.#incoming?.active) throw new FakeRefusal("There's a migration process in progress");
    const { capabilities } = args;
    if (!Array.isArray(capabilities)) throw new FakeRefusal("Parameter 'capabilities' is missing");
    for (const { capability, state } of capabilities) {
      if (!this.#capabilities.has(capability)) throw new FakeRefusal(`Parameter 'capability' does not accept value '${capability}'`);
      this.#capabilities.set(capability, state === true);
    }
    return {};
  }

  #multifdChannels(): number {
    return this.has('multifd') ? Number(this.parameters.get('multifd-channels') ?? 2) : 0;
  }

  #migrate(path: string): object {
    if (this.#outgoing?.active) throw new FakeRefusal("There's a migration process in progress");
    if (this.runState === 'inmigrate') throw new FakeRefusal('Guest is waiting for an incoming migration');
    this.#outgoing = new FakeOutgoing(this, path, this.#multifdChannels(), this.#options.ramBytes ?? 65_536);
    return {};
  }

  #migrateIncoming(path: string): Promise<object> {
    if (this.runState !== 'inmigrate') throw new FakeRefusal("'-incoming' was not specified on the command line");
    if (this.#incoming) throw new FakeRefusal('The incoming migration has already been started');
    this.#incoming = new FakeIncoming(this, path, this.#multifdChannels(), this.#options.paused === true);
    return this.#incoming.listening.then(() => ({}));
  }

  #migrationInfo(): object {
    const ram = this.#outgoing?.ram;
    return { status: this.#status, ...(ram && { ram }), ...(this.#error !== undefined && { 'error-desc': this.#error }) };
  }
}

function pathOf(args: Readonly<Record<string, unknown>>): string {
  const { uri } = args;
  if (typeof uri !== 'string' || !uri.startsWith('unix:')) throw new FakeRefusal(`unknown migration protocol: ${String(uri)}`);
  return uri.slice('unix:'.length);
}

/** One QMP conversation: lines in, commands run one after the other, answers out. */
class FakeClient {
  readonly socket: Socket;
  readonly #run: (command: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>;
  #rest = '';
  #negotiated = false;
  #queue: Promise<void> = Promise.resolve();

  constructor(socket: Socket, run: (command: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>) {
    this.socket = socket;
    this.#run = run;
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.#queue = this.#queue.then(() => this.#line(line));
    });
  }

  send(message: object): void {
    this.sendRaw(`${JSON.stringify(message)}\r\n`);
  }

  sendRaw(text: string): void {
    if (this.socket.writable) this.socket.write(text);
  }

  async #line(line: string): Promise<void> {
    let request: { execute?: string; arguments?: Readonly<Record<string, unknown>>; id?: unknown };
    try {
      request = JSON.parse(line);
    } catch {
      this.send({ error: { class: 'GenericError', desc: 'JSON parse error, invalid keyword' } });
      return;
    }
    const { execute: command = '', id } = request;
    try {
      this.send({ return: await this.#dispatch(command, request.arguments ?? {}), id });
    } catch (error) {
      const qemuClass = error instanceof FakeRefusal ? error.qemuClass : 'GenericError';
      this.send({ error: { class: qemuClass, desc: error instanceof Error ? error.message : String(error) }, id });
    }
  }

  async #dispatch(command: string, args: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (command === 'qmp_capabilities') {
      this.#negotiated = true;
      return {};
    }
    if (!this.#negotiated) throw new FakeRefusal("Expecting capabilities negotiation with 'qmp_capabilities'", 'CommandNotFound');
    return this.#run(command, args);
  }
}
