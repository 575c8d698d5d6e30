/** The two ends of FakeQemu's migration. The stream is not QEMU's but begins as it does: `QEVM` on the main channel, 0x11223344 on multifd's. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { FakeQemu } from './fake-qemu.ts';

const MAIN = Buffer.from('QEVM');
const MULTIFD = Buffer.from([0x11, 0x22, 0x33, 0x44]);
/** Follows nothing but zeros, and says that the main channel has carried everything. */
const END = 0xff;

/** The source: pre-copy, stop, pre-switchover, device state, completed; or cancelled or failed from anywhere before. */
export class FakeOutgoing {
  readonly #qemu: FakeQemu;
  readonly #ramBytes: number;
  readonly #sockets: Socket[] = [];
  readonly #continued = Promise.withResolvers<void>();
  readonly #broken = Promise.withResolvers<never>();
  #stopped = false;
  #wasRunning = false;
  #sent = 0;
  #passes = 0;
  active = true;

  constructor(qemu: FakeQemu, path: string, multifdChannels: number, ramBytes: number) {
    this.#qemu = qemu;
    this.#ramBytes = ramBytes;
    this.#broken.promise.catch(() => {}); // also where nobody waits yet
    qemu.setMigration('setup');
    this.#run(path, multifdChannels).catch((error: unknown) => this.#fail(error));
  }

  get ram(): object {
    const total = this.#ramBytes * Math.max(1, this.#sockets.length);
    return {
      total,
      transferred: this.#sent,
      remaining: Math.max(0, total - this.#sent),
      'dirty-pages-rate': 0,
      'page-size': 4096,
      'dirty-sync-count': this.#passes,
    };
  }

  continue(): void {
    this.#continued.resolve();
  }

  cancel(): void {
    if (!this.active) return;
    this.active = false;
    this.#qemu.setMigration('cancelling');
    this.destroy();
    setImmediate(() => {
      this.#backToSource();
      this.#qemu.setMigration('cancelled');
    });
  }

  destroy(): void {
    this.active = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async #run(path: string, multifdChannels: number): Promise<void> {
    await this.#dial(path);
    this.#pass();
    this.#qemu.setMigration('active');
    for (let i = 0; i < multifdChannels; i++) await this.#dial(path);
    await Promise.all(
      this.#sockets.map((socket, i) => this.#send(socket, Buffer.concat([i === 0 ? MAIN : MULTIFD, Buffer.alloc(this.#ramBytes)]))),
    );
    await this.#unlessBroken(this.#qemu.preCopyDone);
    if (!this.active) return;

    this.#stopped = true;
    this.#wasRunning = this.#qemu.pause('finish-migrate');
    if (this.#qemu.has('pause-before-switchover')) {
      this.#qemu.setMigration('pre-switchover');
      await this.#continued.promise; // like QEMU, it does not notice a broken socket here
      if (!this.active) return;
    }
    this.#qemu.setMigration('device');
    this.#pass();
    const [main] = this.#sockets;
    if (main) await this.#send(main, Buffer.from([END]));
    if (!this.active) return;
    this.active = false;
    this.#qemu.setMigration('completed');
    for (const socket of this.#sockets) socket.end();
    setImmediate(() => {
      if (this.#qemu.runState === 'finish-migrate') this.#qemu.runState = 'postmigrate';
    });
  }

  #pass(): void {
    this.#passes++;
    this.#qemu.emit('MIGRATION_PASS', { pass: this.#passes });
  }

  async #dial(path: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const socket = connect(path, resolve);
    this.#sockets.push(socket);
    socket.on('error', (error) => this.#broken.reject(error));
    socket.once('close', () => this.#broken.reject(new Error('Unable to write to socket: Broken pipe')));
    socket.resume();
    await this.#unlessBroken(promise);
  }

  async #send(socket: Socket, bytes: Buffer): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    await this.#unlessBroken(promise);
    this.#sent += bytes.length;
  }

  #unlessBroken<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([this.#broken.promise, promise]);
  }

  #fail(error: unknown): void {
    if (!this.active) return;
    this.destroy();
    this.#qemu.setMigration('failed', error instanceof Error ? error.message : String(error));
    this.#backToSource();
  }

  #backToSource(): void {
    if (!this.#stopped) return;
    if (this.#wasRunning) this.#qemu.resume();
    else this.#qemu.runState = 'postmigrate';
  }
}

/** The destination: takes the first connection for the main one, as 7.2 does, and exits where that is wrong or the stream ends early. */
export class FakeIncoming {
  readonly listening: Promise<void>;
  readonly #qemu: FakeQemu;
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  readonly #expected: number;
  #begun = 0;
  #paused: boolean;
  active = true;

  constructor(qemu: FakeQemu, path: string, multifdChannels: number, paused: boolean) {
    this.#qemu = qemu;
    this.#expected = 1 + multifdChannels;
    this.#paused = paused;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    qemu.emit('MIGRATION', { status: 'setup' });
    this.listening = new Promise((resolve, reject) => this.#server.once('error', reject).listen(path, resolve));
  }

  /** A `cont` while `inmigrate` undoes `-S`. */
  runWhenLoaded(): void {
    this.#paused = false;
  }

  destroy(): void {
    this.active = false;
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    const magic = this.#sockets.length === 0 ? MAIN : MULTIFD;
    const isMain = magic === MAIN;
    this.#sockets.push(socket);
    let head = Buffer.alloc(0);
    let last = 0;
    socket.on('error', () => this.#fail());
    socket.on('data', (bytes: Buffer) => {
      last = bytes.at(-1) ?? last;
      if (head.length >= magic.length) return;
      head = Buffer.concat([head, bytes]);
      if (head.length < magic.length) return;
      if (!head.subarray(0, magic.length).equals(magic)) this.#fail();
      else if (++this.#begun === this.#expected) this.#qemu.setMigration('active');
    });
    socket.on('end', () => {
      if (isMain) last === END && this.#begun === this.#expected ? this.#complete() : this.#fail();
    });
  }

  #complete(): void {
    if (!this.active) return;
    this.active = false;
    this.#server.close();
    this.#qemu.runState = 'paused';
    if (!this.#paused) this.#qemu.resume();
    this.#qemu.setMigration('completed');
    for (const socket of this.#sockets) socket.end();
  }

  #fail(): void {
    if (!this.active) return;
    this.#qemu.setMigration('failed');
    this.destroy();
    setImmediate(() => this.#qemu.kill());
  }
}
