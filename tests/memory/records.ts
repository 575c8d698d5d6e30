/** The first records of every direction of a migration's channels, out of a capture that may end anywhere. */
import { streamsOf } from '../support/decoder.ts';

const [m1Bytes, m2Bytes] = [87, 64];
/** Header and tag. */
const overhead = 32;
/** One to learn the IV from, one to try it on. */
const wanted = 2;

/** By channel and direction, such as `1 to destination`; a direction that carried no whole record is not there. */
export async function firstRecords(pcap: string, migration: string): Promise<Record<string, Buffer[]>> {
  const id = migration.replaceAll('-', '');
  const streams = await streamsOf(pcap);
  const records: Record<string, Buffer[]> = {};
  for (const [flow, stream] of streams) {
    if (stream.length < m1Bytes || stream[0] !== 1 || stream.toString('hex', 1, 17) !== id) continue;
    const channel = stream.readUInt16BE(21);
    // Addresses, then ports: swapped both.
    const back = streams.get(`${flow.slice(4, 8)}${flow.slice(0, 4)}${flow.slice(10, 12)}${flow.slice(8, 10)}`);
    for (const [direction, bytes] of [
      ['to destination', stream.subarray(m1Bytes)],
      ['to source', back?.subarray(m2Bytes) ?? Buffer.alloc(0)],
    ] as const) {
      const first = cut(bytes);
      if (first.length > 0) records[`${channel} ${direction}`] = first;
    }
  }
  return records;
}

function cut(stream: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; records.length < wanted && at + overhead <= stream.length; ) {
    const end = at + overhead + stream.readUInt32BE(at + 4);
    if (end > stream.length) break;
    records.push(stream.subarray(at, end));
    at = end;
  }
  return records;
}
