/** Searches a capture for markers: in every TCP stream put together again, and in every other frame as it stands. */
import { MarkerSearch, type MarkerSet } from './markers.ts';
import { describeFlow, parseEthernet } from './packet.ts';
import { readPcap } from './pcap.ts';
import { StreamReassembly } from './reassembly.ts';

export interface CaptureReport {
  /** TCP payload, each byte of each stream once. */
  readonly streamBytes: number;
  readonly streams: number;
  readonly packets: number;
  /** Everything that was captured, headers as well. */
  readonly rawBytes: number;
  readonly repeatedBytes: number;
  /** Bytes that a stream must have carried and the capture does not hold. */
  readonly missingBytes: number;
  /** Packets that could not be looked into in full: cut by the capture, or IP fragments. */
  readonly unreadablePackets: number;
  /** How many of the set's markers were seen, and in which streams. */
  readonly markersSeen: number;
  readonly markedStreams: readonly string[];
}

const ethernet = 1;

interface Stream {
  readonly reassembly: StreamReassembly;
  readonly seen: Set<string>;
}

/**
 * Memory is bounded by the number of streams and by what waits for a missing segment, not by the file's size.
 * @throws Error when the file is damaged or was not captured on Ethernet
 */
export const searchCapture = async (path: string, set: MarkerSet): Promise<CaptureReport> => {
  const streams = new Map<string, Stream>();
  const ended: [string, Stream][] = [];
  const seenElsewhere = new Set<string>();
  let packets = 0;
  let rawBytes = 0;
  let unreadablePackets = 0;

  const open = (flow: string): Stream => {
    const seen = new Set<string>();
    const search = new MarkerSearch(set, seen);
    const stream = { reassembly: new StreamReassembly((bytes) => search.push(bytes)), seen };
    streams.set(flow, stream);
    return stream;
  };

  const { linkType } = await readPcap(path, ({ bytes, wireLength }) => {
    packets++;
    rawBytes += bytes.length;
    if (bytes.length < wireLength) unreadablePackets++;
    const segment = parseEthernet(bytes);
    if (typeof segment === 'string') {
      if (segment !== 'other' && bytes.length === wireLength) unreadablePackets++;
      new MarkerSearch(set, seenElsewhere).push(bytes);
      return;
    }
    let stream = streams.get(segment.flow);
    if (stream && segment.syn && stream.reassembly.isRestartedBy(segment.sequence)) {
      // The same two ports again, for a new connection.
      ended.push([segment.flow, stream]);
      stream = undefined;
    }
    stream ??= open(segment.flow);
    stream.reassembly.push(segment.sequence, segment.payload, segment.syn);
  });
  if (linkType !== ethernet) throw new Error(`${path}: captured on link type ${linkType}, not on Ethernet`);

  const all = [...ended, ...streams];
  for (const [, { reassembly }] of all) reassembly.end();
  const sum = (of: (reassembly: StreamReassembly) => number) => all.reduce((total, [, { reassembly }]) => total + of(reassembly), 0);
  return {
    streamBytes: sum((reassembly) => reassembly.bytes),
    streams: all.length,
    packets,
    rawBytes,
    repeatedBytes: sum((reassembly) => reassembly.repeatedBytes),
    missingBytes: sum((reassembly) => reassembly.missingBytes),
    unreadablePackets,
    markersSeen: new Set([...seenElsewhere, ...all.flatMap(([, { seen }]) => [...seen])]).size,
    markedStreams: all.filter(([, { seen }]) => seen.size > 0).map(([flow]) => describeFlow(flow)),
  };
};
