/**
 * When each of a host's QEMUs ran its guest, from QEMU itself: its events STOP and RESUME carry the time at which they happened
 * (QEMU's QMP reference, "Events"), and all hosts of a lab share a clock. Listens at the QMP socket that the agent leaves to people.
 */
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** Of one QEMU, milliseconds since the epoch. `until` is undefined while it goes on. */
export interface Ran {
  readonly host: string;
  readonly from: number;
  until: number | undefined;
}

const lookAgainMs = 20;

export class QmpWatch implements Disposable {
  readonly ran: Ran[] = [];
  readonly #host: string;
  readonly #path: string;
  #status: string | undefined;
  #current: Ran | undefined;
  #socket: Socket | undefined;
  #closed = false;
  readonly #asked: ((holds: boolean) => void)[] = [];

  /** @param path of the socket, which comes and goes with the VM's QEMU */
  constructor(host: string, path: string) {
    this.#host = host;
    this.#path = path;
    void this.#watch();
  }

  /** QEMU's run state as it last said, or undefined where there is no QEMU. */
  get status(): string | undefined {
    return this.#status;
  }

  get running(): boolean {
    return this.#current !== undefined;
  }

  /** Is QEMU, of which nothing migrates, not done with an earlier migration behind the scenes? False where there is no QEMU. */
  holdsMigration(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    if (!this.#socket?.writable || this.#status === undefined) return Promise.resolve(false);
    this.#asked.push(resolve);
    this.#socket.write(`${JSON.stringify({ execute: 'query-yank' })}\n`);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#socket?.destroy();
  }

  async #watch(): Promise<void> {
    while (!this.#closed) {
      await this.#listen();
      this.#stops(Date.now());
      this.#status = undefined;
      for (const answer of this.#asked.splice(0)) answer(false);
      await sleep(lookAgainMs, undefined, { ref: false });
    }
  }

  /** Resolves when QEMU has gone, or was not there. */
  async #listen(): Promise<void> {
    const socket = connect(this.#path);
    this.#socket = socket;
    const gone = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const lines = createInterface({ input: socket }).on('line', (line) => this.#heard(JSON.parse(line), socket));
    // The close that follows says enough; both tell of the same error.
    for (const each of [socket, lines]) each.on('error', () => {});
    await gone;
  }

  #heard(message: Record<string, unknown>, socket: Socket): void {
    const ask = (execute: string): void => void socket.write(`${JSON.stringify({ execute })}\n`);
    if ('QMP' in message) {
      ask('qmp_capabilities');
      ask('query-status');
      return;
    }
    const {
      event,
      timestamp,
      return: answer,
    } = message as {
      event?: string;
      timestamp?: { seconds: number; microseconds: number };
      return?: { status?: string; running?: boolean } | { type: string }[];
    }; // as QEMU's QMP reference has it
    if (Array.isArray(answer)) {
      this.#asked.shift()?.(answer.some(({ type }) => type === 'migration'));
      return;
    }
    const at = timestamp ? timestamp.seconds * 1000 + timestamp.microseconds / 1000 : Date.now();
    if (event === 'RESUME') {
      this.#status = 'running';
      this.#runs(at);
    } else if (event === 'STOP') {
      this.#stops(at);
      ask('query-status');
    } else if (answer?.status !== undefined) {
      this.#status = answer.status;
      if (answer.running) this.#runs(at);
      else this.#stops(at);
    }
  }

  #runs(at: number): void {
    if (this.#current) return;
    this.#current = { host: this.#host, from: at, until: undefined };
    this.ran.push(this.#current);
  }

  #stops(at: number): void {
    if (this.#current) this.#current.until = at;
    this.#current = undefined;
  }
}
