/**
 * The gate opens every connection and does every hello, for both roles; nothing passes it unproven. It also accepts QEMU's local streams. All
 * that it opens it hands to the main thread by descriptor.
 */
import { migrationId } from '../keys/context.ts';
import { wipe } from '../keys/hkdf.ts';
import type { ChannelSecrets, HelloKeys } from '../keys/schedule.ts';
import { libc, POLL } from '../native/libc.ts';
import { accept, boundAddress, exhausted, listenTcp, listenUnix } from '../native/sockets.ts';
import { tunables } from '../tunables.ts';
import { Dial } from './dial.ts';
import { Doorstep, type Expected } from './doorstep.ts';
import type { Poller, Service, Target } from './loop.ts';
import type { Address, GateCommand, GateReport, HelloSession } from './messages.ts';

interface LocalListener {
  readonly session: number;
  readonly fd: number;
  /** The channel that the next stream is for. */
  next: number;
  readonly end: number;
}

export class Gate implements Service<GateCommand>, Target {
  readonly #report: (report: GateReport) => void;
  readonly #expected = new Map<string, Expected>();
  readonly #doorstep = new Doorstep(
    (migration, attempt) => this.#expected.get(`${migration}/${attempt}`),
    (expected, channel, wire, secrets) => this.#confirmed(expected.session, channel, wire, secrets),
  );
  /** The hello keys of sessions that dial: a dial that is done is forgotten, its keys must not be. */
  readonly #dialKeys = new Map<number, HelloKeys>();
  #listeners: number[] = [];
  #dials: Dial[] = [];
  #locals: LocalListener[] = [];
  /** Until when nobody is accepted, monotonic milliseconds. */
  #pausedUntil: number | undefined;

  constructor(report: (report: GateReport) => void) {
    this.#report = report;
  }

  message(command: GateCommand): void {
    switch (command.kind) {
      case 'listen':
        this.#listen(command.addresses);
        return;
      case 'unlisten':
        this.#unlisten();
        return;
      case 'expect':
        this.#expected.set(keyOf(command), { ...command, migration: hexOf(command), keys: keysOf(command), claimed: new Set() });
        return;
      case 'dial':
        this.#dial(command);
        return;
      case 'listen-local':
        this.#listenLocal(command);
        return;
      case 'unlisten-local':
        this.#unlistenLocal(command.session);
        this.#report({ kind: 'local-unlistened', session: command.session });
        return;
      case 'forget-keys':
        this.#forgetKeys(command.session);
        return;
      case 'forget':
        this.#forget(command.session);
        this.#report({ kind: 'forgotten', session: command.session });
        return;
    }
  }

  step(): boolean {
    return false;
  }

  watch(poller: Poller): void {
    if (this.#pausedUntil === undefined) {
      for (const fd of this.#listeners) poller.add(fd, POLL.IN, this);
      for (const local of this.#locals) poller.add(local.fd, POLL.IN, this);
    }
    for (const dial of this.#dials) dial.watch(poller, this);
    this.#doorstep.watch(poller, this);
  }

  ready(fd: number): void {
    const now = performance.now();
    if (this.#listeners.includes(fd)) {
      if (!this.#doorstep.admit(fd, now)) this.#pause(now);
    } else if (!this.#doorstep.ready(fd)) {
      const dial = this.#dials.find((each) => each.fd === fd);
      if (dial) this.#advance(dial);
      const local = this.#locals.find((each) => each.fd === fd);
      if (local) this.#acceptLocal(local);
    }
  }

  tick(now: number): void {
    if (this.#pausedUntil !== undefined && now >= this.#pausedUntil) this.#pausedUntil = undefined;
    this.#doorstep.tick(now);
    for (const dial of [...this.#dials]) {
      if (dial.tick(now)) continue;
      this.#forget(dial.target.session);
      this.#fail(dial.target.session, 'hello', `channel ${dial.target.channel} could not be opened: ${dial.problem}`);
    }
  }

  stop(): void {
    this.#unlisten();
    for (const session of new Set([...this.#expected.values()].map((each) => each.session))) this.#forget(session);
    for (const session of [...this.#dialKeys.keys()]) this.#forget(session);
    for (const { session } of [...this.#locals]) this.#forget(session);
  }

  /** A connection that cannot be accepted for want of descriptors would wake this thread for ever: it is looked at again in a moment. */
  #pause(now: number): void {
    this.#pausedUntil = now + tunables.retryMs;
  }

  #listen(addresses: readonly Address[]): void {
    const opened: number[] = [];
    try {
      for (const address of addresses) opened.push(listenTcp(address));
    } catch (error) {
      for (const fd of opened) libc.close(fd);
      this.#report({ kind: 'not-listening', message: messageOf(error) });
      return;
    }
    this.#listeners = opened;
    this.#report({
      kind: 'listening',
      addresses: opened.map((fd, i) => boundAddress(fd, addresses[i] ?? { host: '0.0.0.0', port: 0 })),
    });
  }

  #unlisten(): void {
    for (const fd of this.#listeners) libc.close(fd);
    this.#listeners = [];
    this.#doorstep.clear();
  }

  #dial(command: Extract<GateCommand, { kind: 'dial' }>): void {
    const { kind: _, addresses, timeoutMs, only, ...session } = command;
    const now = performance.now();
    const keys = keysOf(session);
    this.#dialKeys.set(session.session, keys);
    for (const channel of only ?? Array.from({ length: session.channels }, (_, i) => i)) {
      // Channels are spread over the addresses in turn.
      const address = addresses[channel % addresses.length];
      if (!address) continue;
      const dial = new Dial({ ...session, channel, keys, address, deadline: now + timeoutMs });
      this.#dials.push(dial);
      dial.tick(now);
    }
  }

  #advance(dial: Dial): void {
    const done = dial.ready();
    if (!done) return;
    this.#dials = this.#dials.filter((each) => each !== dial);
    this.#confirmed(dial.target.session, dial.target.channel, done.wire, done.secrets);
  }

  #confirmed(session: number, channel: number, wire: number, found: ChannelSecrets): void {
    const secrets = new SharedArrayBuffer(64);
    const view = new Uint8Array(secrets);
    view.set(found.sourceToDestination, 0);
    view.set(found.destinationToSource, 32);
    wipe(found.sourceToDestination, found.destinationToSource);
    this.#report({ kind: 'confirmed', session, channel, wire, secrets });
  }

  #listenLocal({ session, path, first, count }: Extract<GateCommand, { kind: 'listen-local' }>): void {
    try {
      this.#locals.push({ session, fd: listenUnix(path, count), next: first, end: first + count });
      this.#report({ kind: 'local-listening', session, first });
    } catch (error) {
      this.#fail(session, 'local', error);
    }
  }

  #acceptLocal(local: LocalListener): void {
    let fd = accept(local.fd);
    for (; fd >= 0; fd = accept(local.fd)) {
      this.#report({ kind: 'local', session: local.session, channel: local.next++, local: fd });
      if (local.next < local.end) continue;
      libc.close(local.fd);
      this.#locals = this.#locals.filter((each) => each !== local);
      return;
    }
    if (fd === exhausted) this.#pause(performance.now());
  }

  #unlistenLocal(session: number): void {
    for (const local of this.#locals.filter((each) => each.session === session)) {
      this.#acceptLocal(local);
      if (local.next < local.end) libc.close(local.fd);
    }
    this.#locals = this.#locals.filter((each) => each.session !== session);
  }

  #forgetKeys(session: number): void {
    for (const [key, expected] of this.#expected) {
      if (expected.session !== session) continue;
      wipe(expected.keys.hello, expected.keys.dh);
      this.#expected.delete(key);
    }
    this.#doorstep.forget(session);
    for (const dial of this.#dials.filter((each) => each.target.session === session)) dial.free();
    this.#dials = this.#dials.filter((each) => each.target.session !== session);
    const dialKeys = this.#dialKeys.get(session);
    wipe(dialKeys?.hello, dialKeys?.dh);
    this.#dialKeys.delete(session);
  }

  #forget(session: number): void {
    this.#forgetKeys(session);
    for (const local of this.#locals.filter((each) => each.session === session)) libc.close(local.fd);
    this.#locals = this.#locals.filter((each) => each.session !== session);
  }

  #fail(session: number, code: 'hello' | 'local', error: unknown): void {
    this.#report({ kind: 'failed', session, code, message: messageOf(error) });
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const hexOf = (session: HelloSession): string => migrationId(session.migration).toString('hex');
const keyOf = (session: HelloSession): string => `${hexOf(session)}/${session.attempt}`;

/** Views on the shared keys: wiping them wipes the session's. */
const keysOf = ({ keys }: HelloSession): HelloKeys => ({
  hello: new Uint8Array(keys, 0, 32),
  dh: new Uint8Array(keys, 32, 32),
});
