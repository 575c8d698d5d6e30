/**
 * One run of either end of a tunnel: a transport with one session, from the spec to the last CLOSE.
 *
 *     local program ──unix──► send ═══ channels on demand ═══► receive ──unix──► local program
 *
 * The sending end decides when it is over: when no channel has been open for a while. The receiving end hears it on channel 0.
 */
import { lstatSync, rmSync } from 'node:fs';
import { TransportError } from '../errors.ts';
import type { ControlMessage, SessionHandlers } from '../heard.ts';
import { wipe } from '../keys/hkdf.ts';
import { formatAddress } from '../native/sockets.ts';
import type { Session } from '../session.ts';
import { Transport } from '../transport.ts';
import type { Address } from '../worker/messages.ts';
import { TunnelError } from './error.ts';
import { report, type TunnelReport } from './report.ts';
import type { TunnelSpec } from './spec.ts';

export interface TunnelOptions {
  readonly spec: TunnelSpec;
  /** Pump threads; by default one a core. */
  readonly threads: number | undefined;
  /** Aborts the tunnel, and tells the other end. */
  readonly signal: AbortSignal;
  /** Says to people how far it is. */
  say(words: string): void;
}

export interface SendOptions extends TunnelOptions {
  readonly role: 'send';
  /** Made when the other end has proven itself, removed at the end. */
  readonly listenUnix: string;
  readonly to: readonly Address[];
  /** The tunnel is over when it has carried something and no channel was open for this long. */
  readonly idleExitMs: number;
}

export interface ReceiveOptions extends TunnelOptions {
  readonly role: 'receive';
  readonly listen: readonly Address[];
  readonly connectUnix: string;
  readonly eager: boolean;
  /** As {@link OnDemand.mayCloseEarly}. */
  readonly mayCloseEarly?: boolean;
}

/**
 * Runs one end to its end. Nothing of it is left when this resolves: no socket, no thread, no key.
 *
 * @throws TunnelError before anything was opened
 */
export async function runTunnel(options: SendOptions | ReceiveOptions): Promise<TunnelReport> {
  const { attempt, key } = options.spec;
  const began = performance.now();
  const cpu = process.cpuUsage();
  const transport = new Transport({ ...(options.threads !== undefined && { threads: options.threads }) });
  try {
    const end = options.role === 'send' ? new SendingEnd(options) : new ReceivingEnd(options);
    const session = await end.begin(transport);
    const failure = await carry(session, end, options);
    // Their CPU time is final only now.
    await transport.close();
    const { user, system } = process.cpuUsage(cpu);
    const aborted = failure !== undefined && options.signal.aborted;
    return report({
      role: options.role,
      attempt,
      session,
      aborted,
      failure: aborted ? undefined : failure,
      seconds: (performance.now() - began) / 1000,
      processCpuSeconds: (user + system) / 1e6,
    });
  } finally {
    wipe(key);
    await transport.close();
  }
}

/** @returns why it did not end well */
async function carry(session: Session, end: SendingEnd | ReceivingEnd, options: TunnelOptions): Promise<TransportError | undefined> {
  const giveUp = expireWith(session, options.spec);
  const abort = () => void session.abort();
  options.signal.addEventListener('abort', abort, { once: true });
  try {
    if (options.signal.aborted) abort();
    await end.run(session, giveUp);
    await session.ended;
    return undefined;
  } catch (error) {
    await session.abort();
    return error instanceof TransportError ? error : new TransportError('local', String(error), error);
  } finally {
    clearTimeout(giveUp);
    options.signal.removeEventListener('abort', abort);
    end.clear();
  }
}

/** What both ends do with control records. */
function handlersOf(session: () => Session | undefined, channels?: (open: number) => void): SessionHandlers {
  return {
    control: ({ type }: ControlMessage) =>
      session()?.fail(
        type === 'aborted'
          ? new TransportError('peer', 'the other end aborted the tunnel')
          : new TransportError('record', 'the other end speaks of a VM, which a tunnel knows nothing of'),
      ),
    // The session's promises reject with it.
    failed: () => undefined,
    ...(channels && { channels }),
  };
}

/** A tunnel that nobody used by then is of no more use. @returns the timer, for whom it is used by */
function expireWith(session: Session, { attempt }: TunnelSpec): NodeJS.Timeout {
  const longest = 2 ** 31 - 1;
  return setTimeout(
    () => session.fail(new TransportError('hello', 'the spec expired before the tunnel was used')),
    Math.min(longest, Math.max(0, attempt.expiresAt - Date.now())),
  );
}

class SendingEnd {
  readonly #options: SendOptions;
  #session: Session | undefined;
  #listening = false;
  #giveUp: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;

  /** @throws TunnelError where the socket's path is taken */
  constructor(options: SendOptions) {
    this.#options = options;
    if (lstatSync(options.listenUnix, { throwIfNoEntry: false })) {
      throw new TunnelError('unavailable', `${options.listenUnix} exists already; if no tunnel that runs uses it, remove it`);
    }
  }

  async begin(transport: Transport): Promise<Session> {
    const { spec, to } = this.#options;
    const handlers = handlersOf(
      () => this.#session,
      (open) => this.#channels(open),
    );
    this.#session = transport.connect(spec.attempt, spec.key, to, handlers, true);
    return this.#session;
  }

  async run(session: Session, giveUp: NodeJS.Timeout): Promise<void> {
    const { listenUnix, to, say } = this.#options;
    this.#giveUp = giveUp;
    await session.confirmed;
    await session.listenLocal(listenUnix);
    this.#listening = true;
    say(`ready: ${listenUnix} leads to ${to.map(formatAddress).join(', ')}`);
  }

  clear(): void {
    clearTimeout(this.#idle);
    this.#removeSocket();
  }

  #channels(open: number): void {
    clearTimeout(this.#giveUp);
    clearTimeout(this.#idle);
    if (open > 0) return;
    this.#idle = setTimeout(() => {
      this.#session?.finish();
      this.#removeSocket();
    }, this.#options.idleExitMs);
  }

  #removeSocket(): void {
    if (this.#listening) rmSync(this.#options.listenUnix, { force: true });
    this.#listening = false;
  }
}

class ReceivingEnd {
  readonly #options: ReceiveOptions;

  constructor(options: ReceiveOptions) {
    this.#options = options;
  }

  /** @throws TunnelError where an address cannot be listened on */
  async begin(transport: Transport): Promise<Session> {
    const { spec, listen, connectUnix, eager, mayCloseEarly = false, say } = this.#options;
    let session: Session | undefined;
    try {
      const accepted = await transport.accept(
        spec.attempt,
        spec.key,
        listen,
        handlersOf(() => session),
        { eager, mayCloseEarly },
      );
      session = accepted.session;
      session.connectLocal(connectUnix);
      say(`listening on ${accepted.addresses.map(formatAddress).join(', ')}`);
      return session;
    } catch (error) {
      if (error instanceof TransportError) throw new TunnelError('unavailable', `cannot listen: ${error.message}`, error);
      throw error;
    }
  }

  async run(session: Session, giveUp: NodeJS.Timeout): Promise<void> {
    await session.confirmed;
    clearTimeout(giveUp);
    this.#options.say(`joined: what comes goes to ${this.#options.connectUnix}`);
  }

  clear(): void {}
}
