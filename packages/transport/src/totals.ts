/** What the data channels of a session carried in one direction: known once all of them have said so. */
import { controlChannel, firstDataChannel } from './constants.ts';
import { Milestone } from './milestone.ts';
import type { ChannelTotal } from './record/control.ts';

export class Totals extends Milestone<readonly ChannelTotal[]> {
  readonly #channels: number;
  readonly #totals: (ChannelTotal | undefined)[] = [];

  /** @param channels of the attempt, channel 0 included */
  constructor(channels: number) {
    super();
    this.#channels = channels;
  }

  add(channel: number, total: ChannelTotal): void {
    if (channel === controlChannel) return;
    this.#totals[channel - firstDataChannel] = total;
    const known = this.#totals.filter((each) => each !== undefined);
    if (known.length === this.#channels - firstDataChannel) this.reach(known);
  }
}
