/**
 * Opens a captured migration with an agent's key log: the document's other reader. It shares no code with the transport but the test-only
 * implementation that was written from docs/protocol.md with node:crypto alone.
 */
import { readFile } from 'node:fs/promises';
import { parseEthernet } from '../../lab/src/capture/packet.ts';
import { readPcap } from '../../lab/src/capture/pcap.ts';
import { StreamReassembly } from '../../lab/src/capture/reassembly.ts';
import { MiniDirection, type MiniSuite, recordsOf } from '../../packages/transport/src/testing/mini.ts';

const m1Bytes = 87;
const m2Bytes = 64;

export type Direction = 'source-to-destination' | 'destination-to-source';

/** One direction of one channel, opened: every record was authentic and in its place, or decoding throws. */
export interface DecodedDirection {
  readonly channel: number;
  readonly direction: Direction;
  readonly records: readonly { readonly type: number; readonly payload: Buffer }[];
}

/** @returns the epoch-0 secrets: by migration (hexadecimal), attempt, channel, direction */
export async function readKeylog(file: string): Promise<Map<string, Buffer>> {
  const secrets = new Map<string, Buffer>();
  for (const line of (await readFile(file, 'utf8')).split('\n').filter(Boolean)) {
    const [label, migration, attempt, channel, direction, epoch, secret = ''] = line.split(' ');
    if (label !== 'SEALIFT_EPOCH') throw new Error(`key log: ${line}`);
    if (epoch === '0') secrets.set([migration, attempt, channel, direction].join(' '), Buffer.from(secret, 'hex'));
  }
  return secrets;
}

/** Every direction of every channel of the capture. @throws where anything in it is not as docs/protocol.md says */
export async function decodeCapture(pcap: string, keylog: string, suite: MiniSuite): Promise<DecodedDirection[]> {
  const secrets = await readKeylog(keylog);
  const streams = await streamsOf(pcap);
  const decoded: DecodedDirection[] = [];
  for (const [flow, stream] of streams) {
    // The source's stream begins with M1: version 1 and a migration that the key log knows.
    const migration = stream.toString('hex', 1, 17);
    if (stream.length < m1Bytes || stream[0] !== 1 || ![...secrets.keys()].some((key) => key.startsWith(migration))) continue;
    const channel = stream.readUInt16BE(21);
    const place = `${migration} ${stream.readUInt32BE(17)} ${channel}`;
    const back = streams.get(`${flow.slice(4, 8)}${flow.slice(0, 4)}${flow.slice(10, 12)}${flow.slice(8, 10)}`);
    if (!back) throw new Error(`channel ${channel}: no stream came back`);
    for (const [direction, bytes] of [
      ['source-to-destination', stream.subarray(m1Bytes)],
      ['destination-to-source', back.subarray(m2Bytes)],
    ] as const) {
      const secret = secrets.get(`${place} ${direction}`);
      if (!secret) throw new Error(`channel ${channel}: the key log has no secret`);
      const opener = new MiniDirection(secret, { suite });
      const records = recordsOf(bytes).map((record) => {
        const opened = opener.open(record);
        if (opened.channel !== channel) throw new Error(`channel ${channel}: a record of channel ${opened.channel}`);
        return opened;
      });
      decoded.push({ channel, direction, records });
    }
  }
  return decoded.sort((a, b) => a.channel - b.channel);
}

/** Every direction of every TCP connection of a capture, put together: by its flow (lab/src/capture/packet.ts). */
export async function streamsOf(pcap: string): Promise<Map<string, Buffer>> {
  const parts = new Map<string, Buffer[]>();
  const open = new Map<string, StreamReassembly>();
  await readPcap(pcap, ({ bytes }) => {
    const segment = parseEthernet(bytes);
    if (typeof segment === 'string') return;
    let stream = open.get(segment.flow);
    if (!stream) {
      const chunks: Buffer[] = [];
      parts.set(segment.flow, chunks);
      stream = new StreamReassembly((chunk) => chunks.push(Buffer.from(chunk)));
      open.set(segment.flow, stream);
    }
    stream.push(segment.sequence, segment.payload, segment.syn);
  });
  return new Map([...parts].map(([flow, chunks]) => [flow, Buffer.concat(chunks)]));
}
