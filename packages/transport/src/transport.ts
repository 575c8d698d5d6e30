/** The transport of one agent: its threads, its port, its sessions. */
import { controlChannel, epochBits, type Role } from './constants.ts';
import type { Demand, OnDemand } from './demand.ts';
import { TransportError } from './errors.ts';
import type { SessionHandlers } from './heard.ts';
import { type Attempt, contextHash } from './keys/context.ts';
import { wipe } from './keys/hkdf.ts';
import { helloKeys } from './keys/schedule.ts';
import { Pool } from './pool.ts';
import { Session, type SessionOptions } from './session.ts';
import { tunables } from './tunables.ts';
import type { Address, HelloSession } from './worker/messages.ts';

export interface TransportOptions {
  /** Pump threads; by default one a core. */
  readonly threads?: number;
  /** log2 of the records of an epoch; other than the protocol's in tests only, and then alike on both sides. */
  readonly epochBits?: number;
  /** A file opened for appending, which then gets every secret of every channel. For debugging only: see docs/protocol.md "key log". */
  readonly keylogFd?: number;
}

export class Transport {
  readonly #pool: Pool;
  readonly #options: SessionOptions;
  readonly #sessions = new Map<number, Session>();
  #next = 1;
  #listening: { addresses: Promise<readonly Address[]>; sessions: Set<number> } | undefined;
  #heard = Promise.withResolvers<readonly Address[]>();
  /** A thread has ended by itself. What it held is lost, so nothing new is begun. */
  #broken: TransportError | undefined;

  constructor(options: TransportOptions = {}) {
    this.#options = { epochBits: options.epochBits ?? epochBits, keylogFd: options.keylogFd };
    this.#pool = new Pool(options.threads, {
      gate: (report) => {
        if (report.kind === 'listening') this.#heard.resolve(report.addresses);
        else if (report.kind === 'not-listening') this.#heard.reject(new TransportError('local', report.message));
        else this.#sessions.get(report.session)?.report(report);
      },
      pump: (report) => this.#sessions.get(report.session)?.report(report),
      death: (error) => {
        this.#broken = error;
        for (const session of [...this.#sessions.values()]) session.threadDied(error);
      },
    });
  }

  /**
   * The destination's side of an attempt. The port is open while any such session lives.
   *
   * @param key the spec's key, 32 bytes: taken, which wipes it
   * @param addresses where to listen; port 0 lets the kernel choose. Sessions at the same time share one set
   * @param onDemand where the source opens channels as it needs them; the attempt's number is then their limit
   * @returns the session, and where it really listens
   * @throws TransportError `local` where an address cannot be listened on
   * @throws RangeError where a field of the attempt is out of its bounds
   */
  async accept(
    attempt: Attempt,
    key: Uint8Array,
    addresses: readonly Address[],
    handlers: SessionHandlers,
    onDemand?: OnDemand,
  ): Promise<{ session: Session; addresses: readonly Address[] }> {
    const { eager = false, mayCloseEarly = false } = onDemand ?? {};
    const demand = onDemand && { eager, mayCloseEarly, dial: () => undefined };
    const [session, hello] = this.#begin('destination', attempt, key, handlers, demand);
    try {
      if (!this.#listening) {
        this.#heard = Promise.withResolvers();
        this.#listening = { addresses: this.#heard.promise, sessions: new Set() };
        this.#pool.gate.post({ kind: 'listen', addresses });
      }
      this.#listening.sessions.add(session.number);
      const bound = await this.#listening.addresses;
      this.#pool.gate.post({ kind: 'expect', ...hello });
      return { session, addresses: bound };
    } catch (error) {
      await session.drop();
      throw error;
    }
  }

  /**
   * The source's side of an attempt: its channels are opened at once, spread over the addresses.
   *
   * @param key the spec's key, 32 bytes: taken, which wipes it
   * @param onDemand channel 0 is opened at once, each other one for the local stream that it is to carry
   * @throws TransportError `local` where there is no address
   * @throws RangeError where a field of the attempt is out of its bounds
   */
  connect(attempt: Attempt, key: Uint8Array, addresses: readonly Address[], handlers: SessionHandlers, onDemand = false): Session {
    if (addresses.length === 0) {
      wipe(key);
      throw new TransportError('local', 'no address to connect to');
    }
    const dial = (only?: readonly number[]) => {
      this.#pool.gate.post({ kind: 'dial', ...hello, addresses, timeoutMs: tunables.connectMs, ...(only && { only }) });
    };
    const demand = onDemand ? { eager: false, mayCloseEarly: false, dial: (channel: number) => dial([channel]) } : undefined;
    const [session, hello] = this.#begin('source', attempt, key, handlers, demand);
    dial(onDemand ? [controlChannel] : undefined);
    return session;
  }

  /** CPU seconds of all threads since the transport started. */
  get cpuSeconds(): number {
    return this.#pool.cpuSeconds;
  }

  /** Drops every session and ends the threads. */
  async close(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.drop()));
    await this.#pool.stop();
  }

  #begin(role: Role, attempt: Attempt, key: Uint8Array, handlers: SessionHandlers, demand?: Demand): [Session, HelloSession] {
    const keys = new SharedArrayBuffer(64);
    let context: Buffer;
    try {
      if (this.#broken) throw new TransportError('local', 'a transport thread has ended; restart the process', this.#broken);
      context = contextHash(attempt);
      const derived = helloKeys(key, attempt.nonce, context);
      new Uint8Array(keys, 0, 32).set(derived.hello);
      new Uint8Array(keys, 32).set(derived.dh);
      wipe(derived.hello, derived.dh);
    } finally {
      wipe(key);
    }
    const number = this.#next++;
    const session = new Session(number, role, attempt, this.#pool, handlers, this.#options, () => this.#gone(number), demand);
    this.#sessions.set(number, session);
    const { protocolVersion: version, migration, channels } = attempt;
    return [session, { session: number, version, migration, attempt: attempt.attempt, channels, context, keys }];
  }

  #gone(number: number): void {
    this.#sessions.delete(number);
    if (!this.#listening?.sessions.delete(number) || this.#listening.sessions.size > 0) return;
    this.#listening = undefined;
    this.#pool.gate.post({ kind: 'unlisten' });
  }
}
