/**
 * What a guest does, and whoever else has a hand on it, while it is copied: it arrives as it was when the switch-over stopped it, not as it was
 * when the move was ordered.
 *
 * QEMU (7.2) says STOP for both, a person's `stop` and the switch-over's own; asked at once, it answers `paused` to the first and
 * `finish-migrate` to the second. A person's `stop` in the very millisecond in which QEMU switches over is taken for the switch-over's. A guest that
 * powers off says SHUTDOWN and then STOP, and its QEMU would go on to send it: there is nothing to move any more.
 */
import { type Monitor, type QmpEvent, queryRunState } from '@sealift/hypervisor';
import type { Failure, RunState } from '../handover/records.ts';
import { type Moment, momentOf } from './blackout.ts';

export class GuestWatch {
  readonly #monitor: Monitor;
  readonly #poweredOff: () => void;
  #runState: RunState;
  #off = false;
  #stopped: Moment | undefined;
  #asking: Promise<unknown> = Promise.resolve();

  /**
   * @param before when the move was ordered
   * @param names the VM, the host that it is at, and the one that it was to go to
   * @param ends called once, when the guest has powered off by itself
   */
  constructor(
    monitor: Monitor,
    before: RunState,
    names: { readonly vm: string; readonly host: string; readonly peer: string },
    ends: (failure: Failure) => void,
  ) {
    const { vm, host, peer } = names;
    const message =
      `the guest of VM ${vm} powered off while it was being moved: it is stopped at host ${host}, and nothing of it is left at host ${peer}. ` +
      `Start it again: sealift vm start ${vm}`;
    this.#monitor = monitor;
    this.#runState = before;
    this.#poweredOff = () => ends({ code: 'migration_failed', message });
  }

  /** How it is now. Whatever happens from the question on is to be {@link heard}. @returns whether there is a guest to move */
  async begin(): Promise<boolean> {
    const state = await queryRunState(this.#monitor);
    if (state === 'shutdown') this.#isOff();
    else if (state === 'paused' || state === 'running') this.#runState = state;
    return !this.#off;
  }

  get off(): boolean {
    return this.#off;
  }

  /** When the switch-over stopped the guest. Nothing where it stood still already. */
  get stopped(): Moment | undefined {
    return this.#stopped;
  }

  /** As the switch-over found it. Resolves once QEMU has said what the last STOP was. */
  async runState(): Promise<RunState> {
    await this.#asking;
    return this.#runState;
  }

  /** What the VM is to be made again where it stays. */
  async before(): Promise<RunState | 'off'> {
    // Somebody may have paused it a moment ago by another monitor: events come in order with answers, so all that was before this is heard then.
    await queryRunState(this.#monitor).catch(() => undefined);
    const runState = await this.runState();
    return this.#off ? 'off' : runState;
  }

  heard(event: QmpEvent): void {
    const { name, data } = event;
    if (name === 'STOP') {
      const stopped = momentOf(event);
      this.#stopped = stopped;
      this.#asking = queryRunState(this.#monitor).then(
        (state) => {
          if (state === 'paused' && this.#stopped === stopped) this.#stands();
        },
        () => undefined, // QEMU is gone, or its monitor: the attempt hears of that by itself
      );
    } else if (name === 'RESUME') {
      this.#runState = 'running';
      this.#stopped = undefined;
    } else if (name === 'SHUTDOWN' && data['guest'] === true) this.#isOff();
  }

  /** Somebody paused it. */
  #stands(): void {
    this.#runState = 'paused';
    this.#stopped = undefined;
  }

  #isOff(): void {
    if (this.#off) return;
    this.#off = true;
    this.#poweredOff();
  }
}
