/**
 * Notices that the peer's host answers TCP no more: bytes on their way that it does not acknowledge, or window probes that it does not answer.
 *
 * A window that the peer has closed is no stall, however long: its QEMU reads nothing for now, and its host says so. TCP_USER_TIMEOUT cannot
 * tell the two apart (tcp(7) does not say it: Linux ends the connection when the window was closed for that long, though each probe was
 * answered), so the kernel is asked instead.
 */
import type { TcpProgress } from '../native/progress.ts';
import { tunables } from '../tunables.ts';

export class Stall {
  readonly #progress: () => TcpProgress | undefined;
  #nextAt = Number.NEGATIVE_INFINITY;
  /** Since when something is unanswered, by this thread's looks; `undefined` where nothing is. */
  #since: number | undefined;
  #acknowledged = 0;

  /** @param progress `undefined` where the wire is no TCP connection: then nothing is ever noticed */
  constructor(progress: () => TcpProgress | undefined) {
    this.#progress = progress;
  }

  /**
   * To be called often; looks each {@link tunables.stallLookMs}.
   *
   * @param now milliseconds, monotonic
   * @returns whether something was unanswered for {@link tunables.stallMs}
   */
  noticed(now: number): boolean {
    if (now < this.#nextAt) return false;
    this.#nextAt = now + tunables.stallLookMs;
    const progress = this.#progress();
    if (!progress || !isWaiting(progress)) {
      this.#since = undefined;
      return false;
    }
    const answered =
      progress.acknowledged !== this.#acknowledged ||
      // A probe is answered without anything new being acknowledged. What it waits for now may be another one than at the last look.
      (progress.unacknowledged === 0 && this.#since !== undefined && progress.lastHeardMs < now - this.#since);
    this.#acknowledged = progress.acknowledged;
    if (answered || this.#since === undefined) this.#since = now;
    return now - this.#since >= tunables.stallMs;
  }
}

/** With the window closed, segments on their way are thrown away by a peer that has no memory for them: back-pressure as well. */
const isWaiting = ({ unacknowledged, window, probes }: TcpProgress): boolean => probes > 0 || (unacknowledged > 0 && window > 0);
