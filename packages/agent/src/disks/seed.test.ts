import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { seedOf } from './seed.ts';

const sector = 512;

/** A reader of its own, which goes by the fields of the boot sector. */
function read(volume: Buffer): { label: string; files: Record<string, string> } {
  const [reserved, fats, roots, fatSectors] = [
    volume.readUInt16LE(14),
    volume.readUInt8(16),
    volume.readUInt16LE(17),
    volume.readUInt16LE(22),
  ];
  const fatAt = reserved * sector;
  const rootAt = fatAt + fats * fatSectors * sector;
  const dataAt = rootAt + roots * 32;
  const next = (cluster: number): number => {
    const pair = volume.readUInt16LE(fatAt + Math.floor(cluster * 1.5));
    return cluster % 2 === 0 ? pair & 0xfff : pair >> 4;
  };
  const found: ReturnType<typeof read> = { label: '', files: {} };
  let long = '';
  for (let at = rootAt; volume[at] !== 0 && at < dataAt; at += 32) {
    const attributes = volume[at + 11];
    if (attributes === 0x0f) {
      const parts = [volume.subarray(at + 1, at + 11), volume.subarray(at + 14, at + 26), volume.subarray(at + 28, at + 32)];
      const text = Buffer.concat(parts).toString('utf16le');
      long = (text.split('\0')[0] ?? '') + long;
    } else if (attributes === 0x08) found.label = volume.toString('latin1', at, at + 11).trimEnd();
    else {
      const parts: Buffer[] = [];
      for (let cluster = volume.readUInt16LE(at + 26); cluster >= 2 && cluster < 0xff8; cluster = next(cluster)) {
        parts.push(volume.subarray(dataAt + (cluster - 2) * sector, dataAt + (cluster - 1) * sector));
      }
      found.files[long] = Buffer.concat(parts).toString('utf8', 0, volume.readUInt32LE(at + 28));
      long = '';
    }
  }
  return found;
}

test('every seed is a volume cidata with the files that cloud-init reads, and always the same bytes', () => {
  const text = fc.string({ unit: 'binary', maxLength: 16_384, size: 'max' }).map((each) => each.toWellFormed());
  fc.assert(
    fc.property(text, fc.option(text, { nil: undefined }), fc.option(text, { nil: undefined }), (userData, metaData, networkConfig) => {
      const seed = { userData, ...(metaData !== undefined && { metaData }), ...(networkConfig !== undefined && { networkConfig }) };
      const volume = seedOf({ name: 'web', seed });
      assert.ok(volume);
      assert.equal(volume.length, 2 ** 20);
      const files = {
        'meta-data': metaData ?? 'instance-id: web\nlocal-hostname: web\n',
        'user-data': userData,
        ...(networkConfig !== undefined && { 'network-config': networkConfig }),
      };
      assert.deepEqual(read(volume), { label: 'cidata', files });
      assert.deepEqual(seedOf({ name: 'web', seed }), volume);
    }),
    { numRuns: 8, endOnFailure: true },
  );
  assert.equal(seedOf({ name: 'web' }), undefined);
});

test('it is found by what Linux finds file systems by', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sealift-seed-'));
  try {
    const file = join(directory, 'seed.img');
    await writeFile(file, seedOf({ name: 'web', seed: { userData: '#cloud-config\n' } }) ?? assert.fail());
    assert.match(execFileSync('/usr/sbin/blkid', ['-p', file], { encoding: 'utf8' }), / LABEL="cidata".* TYPE="vfat"/);
  } finally {
    await rm(directory, { recursive: true });
  }
});
