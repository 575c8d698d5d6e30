/** The agent's hold on one QEMU process: its monitor, what state it is in, and when it has gone. */
import { uptime } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, type Monitor, type ProcessId, QmpClient, type QmpEvent, queryRunState, type RunState } from '@sealift/hypervisor';
import type { Logger } from 'pino';
import type { VmPaths } from './paths.ts';

/** USER_HZ is 100 wherever sealift runs. */
const msPerTick = 10;
/** QMP closes a moment before the process ends. */
const pollMs = 10;
const reconnectMs = 1000;
const connectDeadlineMs = 5000;

/** After these QEMU's run state is another. */
const changes = new Set(['STOP', 'RESUME', 'SUSPEND', 'WAKEUP', 'SHUTDOWN', 'RESET', 'GUEST_PANICKED']);

export class QemuLink {
  readonly process: ProcessId;
  /** Milliseconds since the epoch, to a second: what the kernel says of the process, so that it outlives the agent. */
  readonly startedAt: number;
  /** Resolves when the process has been seen gone; never while the agent lets go of a QEMU that runs on. */
  readonly exited: Promise<void>;
  readonly #paths: VmPaths;
  readonly #log: Logger;
  readonly #exited = Promise.withResolvers<void>();
  readonly #closing = new AbortController();
  readonly #poweredOff: () => void;
  #monitor: Monitor | undefined;
  #runState: RunState | undefined;
  #gone = false;

  /**
   * @param qemu a process that was just started with its monitor, or one that was found, whose monitor {@link QemuLink.reach} connects
   * @param poweredOff called whenever QEMU is seen in the state `shutdown`: the guest has powered off, and -no-shutdown keeps QEMU
   */
  constructor(qemu: { process: ProcessId; monitor?: Monitor }, context: { paths: VmPaths; log: Logger; poweredOff: () => void }) {
    this.process = qemu.process;
    this.startedAt = Math.round(Date.now() - uptime() * 1000 + qemu.process.startTicks * msPerTick);
    this.exited = this.#exited.promise;
    this.#paths = context.paths;
    this.#log = context.log;
    this.#poweredOff = context.poweredOff;
    if (qemu.monitor) this.#listen(qemu.monitor);
    void this.#keep();
  }

  /** undefined while QEMU does not answer. */
  get monitor(): Monitor | undefined {
    return this.#monitor;
  }

  /** What was last heard; undefined while QEMU does not answer. */
  get runState(): RunState | undefined {
    return this.#monitor && this.#runState;
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Asks anew. Keeps what is known where QEMU does not answer. */
  async refresh(): Promise<void> {
    const monitor = this.#monitor;
    if (!monitor) return;
    try {
      this.#runState = await queryRunState(monitor);
    } catch (error) {
      if (!this.#closing.signal.aborted && !this.#gone) this.#log.debug({ err: error }, 'the run state is unknown');
      return;
    }
    if (this.#runState === 'shutdown') this.#poweredOff();
  }

  /** Connects to a QEMU that was found running: by its first socket, else by the spare one. Does not reject: a QEMU that hangs is tried again. */
  async reach(): Promise<boolean> {
    for (const socket of [this.#paths.qmpSocket, this.#paths.spareQmpSocket]) {
      try {
        this.#listen(await QmpClient.connect(socket, { deadlineMs: connectDeadlineMs, signal: this.#closing.signal }));
        await this.refresh();
        return true;
      } catch (error) {
        if (this.#closing.signal.aborted) return false;
        this.#log.warn({ err: error, socket }, 'QEMU runs but does not answer on this socket');
      }
    }
    return false;
  }

  /** Lets go: QEMU runs on, nothing is heard of it any more. */
  close(): void {
    this.#closing.abort();
    this.#monitor?.close();
    this.#monitor = undefined;
  }

  #listen(monitor: Monitor): void {
    this.#monitor = monitor;
    monitor.onEvent((event: QmpEvent) => {
      // At once, for whoever asks before QEMU has answered the query.
      if (event.name === 'RESUME') this.#runState = 'running';
      if (event.name === 'STOP') this.#runState = 'paused';
      if (changes.has(event.name)) void this.refresh();
    });
  }

  /** Runs as long as the process: a conversation that ends means that QEMU has ended, or that it must be reached again. */
  async #keep(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const monitor = this.#monitor;
      if (monitor) {
        await monitor.closed;
        if (this.#monitor === monitor) this.#monitor = undefined;
      }
      const until = Date.now() + reconnectMs;
      while (!signal.aborted && Date.now() < until) {
        if (!(await isAlive(this.process))) {
          this.#gone = true;
          this.#exited.resolve();
          return;
        }
        if (this.#monitor) break; // reached by somebody else meanwhile
        await sleep(pollMs);
      }
      if (!signal.aborted && !this.#monitor) await this.reach();
    }
  }
}
