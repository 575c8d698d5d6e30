import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Frame, framesOf, silenceAround } from './silence.ts';
import { pcapFile } from './testing/pcap.ts';

const guest = '52:54:00:5e:a1:01';
const frame = (from: string, type: number): Buffer => {
  const bytes = Buffer.alloc(60);
  Buffer.from(from.replaceAll(':', ''), 'hex').copy(bytes, 6);
  bytes.writeUInt16BE(type, 12);
  return bytes;
};

test("a guest's frames are told from others', with their times, whatever the capture counts time in", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'silence-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'test.pcap');
  const frames = [frame(guest, 0x0800), frame('52:54:00:5e:a1:02', 0x0800), frame(guest, 0x8035)];
  for (const [nanoseconds, perMs] of [
    [false, 1e3],
    [true, 1e6],
  ] as const) {
    for (const bigEndian of [false, true]) {
      const at = [1, 2, 3].map((ms) => [1_700_000_000, (ms + 0.5) * perMs] as const);
      await writeFile(file, pcapFile(frames, { nanoseconds, bigEndian, at }));
      assert.deepEqual(await framesOf(file, guest), [
        { at: 1_700_000_000_001.5, announcement: false },
        { at: 1_700_000_000_003.5, announcement: true },
      ]);
    }
  }
});

test('the silence is the one that the stop lies in, not the longest one', () => {
  const frames = [0, 500, 510, 550, 551, 900].map((at): Frame => ({ at, announcement: at === 550 }));
  assert.deepEqual(silenceAround(frames, { from: 512, to: 549 }), { from: 510, to: 550, first: { at: 550, announcement: true } });
  // An answer that was on its way still, and comes after the stop.
  assert.deepEqual(silenceAround(frames, { from: 509, to: 549 })?.from, 510);
  assert.equal(silenceAround(frames, { from: 1000, to: 1040 }), undefined);
  assert.equal(silenceAround([], { from: 1, to: 2 }), undefined);
});
