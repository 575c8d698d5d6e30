import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MarkerSet } from './markers.ts';
import { searchCapture } from './search.ts';
import { otherFrame, pcapFile, tcpFrame } from './testing/pcap.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'capture-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const set = new MarkerSet(20);
const markers = [...set.markers];

const search = async (file: Buffer) => {
  const path = join(folder, 'test.pcap');
  await writeFile(path, file);
  return searchCapture(path, set);
};

test('a marker that is cut by segments, out of order, repeated, in both directions, is seen', async () => {
  const [a = '', b = ''] = markers;
  const there = `..${a}..`;
  const back = { from: ['10.0.0.2', 2000], to: ['10.0.0.1', 1000] } as const;
  for (const bigEndian of [false, true]) {
    const report = await search(
      pcapFile(
        [
          tcpFrame({ sequence: 0xfffffff0, syn: true }),
          tcpFrame({ sequence: (0xfffffff1 + 20) >>> 0, payload: there.slice(20) }),
          tcpFrame({ ...back, sequence: 7, payload: b }),
          tcpFrame({ sequence: 0xfffffff1, payload: there.slice(0, 25) }),
          tcpFrame({ sequence: 0xfffffff1, payload: there.slice(0, 9) }),
          tcpFrame({ sequence: 0xfffffff0, syn: true }),
        ],
        { bigEndian },
      ),
    );
    assert.deepEqual(
      { ...report, rawBytes: 0 },
      {
        streamBytes: there.length + b.length,
        streams: 2,
        packets: 6,
        rawBytes: 0,
        repeatedBytes: 5 + 9,
        missingBytes: 0,
        unreadablePackets: 0,
        markersSeen: 2,
        markedStreams: ['10.0.0.1:1000 > 10.0.0.2:2000', '10.0.0.2:2000 > 10.0.0.1:1000'],
      },
    );
  }
});

test('two connections of the same ports are two streams', async () => {
  const [a = ''] = markers;
  const frames = [
    tcpFrame({ sequence: 99, syn: true }),
    tcpFrame({ sequence: 100, payload: a.slice(0, 16) }),
    tcpFrame({ sequence: 5_000_000, syn: true }),
    tcpFrame({ sequence: 5_000_001, payload: a.slice(16) }),
    tcpFrame({ sequence: 5_000_017, payload: a }),
  ];
  const report = await search(pcapFile(frames));
  assert.deepEqual([report.streams, report.streamBytes, report.markersSeen, report.missingBytes], [2, 64, 1, 0]);
  const split = await search(pcapFile(frames.slice(0, 4)));
  assert.equal(split.markersSeen, 0);
});

test('what is not TCP is searched as it stands; what is cut is said', async () => {
  const [a = '', b = ''] = markers;
  const other = await search(pcapFile([otherFrame(`-${a}-`)]));
  assert.deepEqual([other.markersSeen, other.streams], [1, 0]);
  const cut = await search(pcapFile([tcpFrame({ sequence: 1, payload: b.repeat(9) })], { cutTo: 200 }));
  assert.deepEqual([cut.unreadablePackets, cut.markersSeen], [1, 1]);
  const fragment = tcpFrame({ sequence: 1, payload: 'x' });
  fragment.writeUInt16BE(0x2000, 20);
  assert.equal((await search(pcapFile([fragment]))).unreadablePackets, 1);
});

test('missing bytes are said', async () => {
  const report = await search(pcapFile([tcpFrame({ sequence: 1, payload: 'ab' }), tcpFrame({ sequence: 9, payload: 'ij' })]));
  assert.deepEqual([report.missingBytes, report.streamBytes], [6, 4]);
});

test('large packets, and files of many blocks', async () => {
  const frames: Buffer[] = [];
  const payload = randomBytes(65_000);
  payload.write(markers[3] ?? '', 64_984, 'latin1');
  const rest = Buffer.concat([Buffer.from(markers[3]?.slice(16) ?? ''), payload]);
  let sequence = 1;
  for (let i = 0; i < 200; i++) {
    const part = i % 2 === 0 ? payload : rest;
    frames.push(tcpFrame({ sequence, payload: part }));
    sequence = (sequence + part.length) >>> 0;
  }
  const report = await search(pcapFile(frames));
  assert.deepEqual([report.packets, report.markersSeen, report.missingBytes], [200, 1, 0]);
});

test('damaged files are refused', async () => {
  const file = pcapFile([tcpFrame({ sequence: 1, payload: 'ab' })]);
  await assert.rejects(search(file.subarray(0, file.length - 1)), /ends within a packet/);
  await assert.rejects(search(file.subarray(0, 20)), /too short/);
  await assert.rejects(search(Buffer.alloc(100)), /not a capture/);
  await assert.rejects(search(pcapFile([], { linkType: 113 })), /not on Ethernet/);
  const wild = Buffer.from(file);
  wild.writeUInt32LE(0x7fffffff, 32);
  await assert.rejects(search(wild), /damaged/);
});
