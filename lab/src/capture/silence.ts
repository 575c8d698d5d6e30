/** What a client saw of a guest while that stood still: the frames that came from it, and when, by the kernel's clock of the client's own interface. */
import { readPcap } from './pcap.ts';

/** Milliseconds since the epoch. */
export interface Interval {
  readonly from: number;
  readonly to: number;
}

/** RFC 903: QEMU itself sends these when it announces a guest; the guest needs not run for it. */
const rarp = 0x8035;

export interface Frame {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** QEMU's word for the guest rather than the guest's own. */
  readonly announcement: boolean;
}

/**
 * The frames that a capture holds of a guest, in the order in which they came.
 * @param mac the guest's, with colons
 * @throws Error when the file is damaged
 */
export const framesOf = async (file: string, mac: string): Promise<readonly Frame[]> => {
  const guest = Buffer.from(mac.replaceAll(':', ''), 'hex');
  const frames: Frame[] = [];
  await readPcap(file, ({ at, bytes }) => {
    if (bytes.length >= 14 && bytes.subarray(6, 12).equals(guest)) frames.push({ at, announcement: bytes.readUInt16BE(12) === rarp });
  });
  return frames.sort((a, b) => a.at - b.at);
};

/** The time between two frames that has the most of `stop` in it: of which guest it is the first sign, and of which the last. */
export const silenceAround = (frames: readonly Frame[], stop: Interval): (Interval & { readonly first: Frame }) | undefined => {
  let best: (Interval & { readonly first: Frame }) | undefined;
  let most = 0;
  for (const [index, first] of frames.entries()) {
    const from = frames[index - 1]?.at;
    if (from === undefined) continue;
    const shared = Math.min(first.at, stop.to) - Math.max(from, stop.from);
    if (shared <= most) continue;
    most = shared;
    best = { from, to: first.at, first };
  }
  return best;
};
