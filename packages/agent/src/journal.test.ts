import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { Journal, JournalCorrupt, JournalError } from './journal.ts';
import { failJournal } from './testing/journal-faults.ts';

const needsRoot = process.getuid?.() === 0 ? false : 'needs root: it mounts a tmpfs';

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sealift-journal-'));
  path = join(dir, 'journal');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** JSON carries -0 as 0; what is compared must have been through JSON once. */
const jsonRecord = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown);

const write = (records: readonly unknown[]): Buffer => {
  rmSync(path, { force: true });
  const journal = Journal.open(path);
  for (const record of records) journal.append(record);
  journal.close();
  return readFileSync(path);
};

const read = (): readonly unknown[] => {
  const journal = Journal.open(path);
  journal.close();
  return journal.records;
};

test('what was appended is read back, in order, and appending goes on', () => {
  write([{ a: 1 }, 'two\nlines', null]);
  const journal = Journal.open(path);
  assert.deepEqual(journal.records, [{ a: 1 }, 'two\nlines', null]);
  assert.equal(journal.droppedBytes, 0);
  journal.append({ b: 2 });
  journal.close();
  assert.deepEqual(read(), [{ a: 1 }, 'two\nlines', null, { b: 2 }]);
});

test('a journal cut anywhere yields a prefix of its records, and can be appended to', () => {
  fc.assert(
    fc.property(fc.array(jsonRecord, { minLength: 1, maxLength: 5 }), fc.nat(), (records, at) => {
      const whole = write(records);
      const cut = at % (whole.length + 1);
      truncateSync(path, cut);
      const journal = Journal.open(path);
      const prefix = [...journal.records];
      assert.deepEqual(prefix, records.slice(0, prefix.length));
      assert.equal(prefix.length, whole.subarray(0, cut).filter((byte) => byte === 10).length);
      journal.append('after');
      journal.close();
      assert.deepEqual(read(), [...prefix, 'after']);
    }),
    { numRuns: 60 },
  );
});

test('a flipped byte in any line but the last is found, whatever it became', () => {
  fc.assert(
    fc.property(fc.array(jsonRecord, { minLength: 2, maxLength: 5 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (records, at, flip) => {
      const bytes = write(records);
      const lastLine = bytes.lastIndexOf(10, bytes.length - 2) + 1;
      const position = at % lastLine;
      bytes.writeUInt8(bytes.readUInt8(position) ^ flip, position);
      writeFileSync(path, bytes);
      assert.throws(() => Journal.open(path), JournalCorrupt);
    }),
    { numRuns: 200 },
  );
});

test('a confirmed last line that does not check is damage, not an unfinished write', () => {
  const bytes = write(['one', 'two']);
  bytes.writeUInt8(0x21, bytes.length - 4);
  writeFileSync(path, bytes);
  assert.throws(
    () => Journal.open(path),
    (error) => error instanceof JournalCorrupt && error.line === 2 && /move the file away/.test(error.message),
  );
});

test('a line that is missing or repeated is noticed by its number', () => {
  const lines = write(['one', 'two', 'three']).toString().split('\n');
  writeFileSync(path, [lines[0], lines[2], ''].join('\n'));
  assert.throws(() => Journal.open(path), JournalCorrupt);
  writeFileSync(path, [lines[0], lines[0], ''].join('\n'));
  assert.throws(() => Journal.open(path), JournalCorrupt);
});

test('compaction keeps what is live, and a crash before its rename changes nothing', () => {
  write(['one', 'two', 'three']);
  writeFileSync(`${path}.new`, 'half of a compac');
  const journal = Journal.open(path);
  journal.compact(['three']);
  journal.append('four');
  assert.deepEqual(journal.records, ['three', 'four']);
  journal.close();
  assert.deepEqual(read(), ['three', 'four']);
});

test('it says that it has grown only once compaction would pay', () => {
  const journal = Journal.open(path);
  journal.append('x');
  assert.equal(journal.grown, false);
  journal.append('x'.repeat(300 * 1024));
  assert.equal(journal.grown, true);
  journal.compact(['x']);
  assert.equal(journal.grown, false);
  journal.close();
});

test('records are copies: changing the object afterwards changes nothing', () => {
  const journal = Journal.open(path);
  const record = { state: 'granted' };
  journal.append(record);
  record.state = 'changed';
  assert.deepEqual(journal.records, [{ state: 'granted' }]);
  journal.close();
});

test('a full device is an error with its errno, nothing half-written stays, and it goes on once there is room', { skip: needsRoot }, () => {
  const mounted = join(dir, 'small');
  mkdirSync(mounted);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'sealift-test', mounted]);
  try {
    const small = join(mounted, 'journal');
    const journal = Journal.open(small);
    journal.append('fits');
    const filler = join(mounted, 'filler');
    writeFileSync(filler, Buffer.alloc(40 * 1024));
    for (const record of ['x'.repeat(60_000), 'y'.repeat(60_000)]) {
      assert.throws(
        () => journal.append(record),
        (error) => error instanceof JournalError && error.errno === 'ENOSPC',
      );
    }
    rmSync(filler);
    journal.append('after');
    journal.close();
    const again = Journal.open(small);
    again.close();
    assert.deepEqual(again.records, ['fits', 'after']);

    execFileSync('mount', ['-o', 'remount,ro', mounted]);
    assert.throws(
      () => Journal.open(small),
      (error) => error instanceof JournalError && error.errno === 'EROFS',
    );
  } finally {
    execFileSync('umount', [mounted]);
  }
});

test('a directory that is not there is said with its errno', () => {
  assert.throws(
    () => Journal.open(join(dir, 'missing', 'journal')),
    (error) => error instanceof JournalError && error.errno === 'ENOENT',
  );
});

test('a record that the device may or may not have is taken back, and nothing more is taken before a restart', () => {
  const journal = Journal.open(path);
  journal.append('one');
  {
    using _ = failJournal(path, { call: 'fdatasync', errno: 'EIO' });
    assert.throws(
      () => journal.append('two'),
      (error) => error instanceof JournalError && error.final && /brought to the device: EIO \(i\/o error\)/.test(error.message),
    );
  }
  assert.throws(() => journal.append('three'), { name: 'JournalError', message: /since an earlier failure: EIO .*start the agent again/ });
  assert.throws(() => journal.compact([]), { name: 'JournalError', message: /start the agent again/ });
  assert.deepEqual(journal.records, ['one']);
  journal.close();
  assert.deepEqual(read(), ['one']);
});

test('a file system that has become read-only is said as such, and once it is writable again so is the journal', () => {
  const journal = Journal.open(path);
  {
    using _ = failJournal(path, { call: 'write', errno: 'EROFS' });
    assert.throws(() => journal.append('one'), {
      name: 'JournalError',
      message: new RegExp(
        `${path} cannot be written: EROFS \\(read-only file system\\). Find out why .* read-only .*, repair it and mount it writable$`,
      ),
    });
  }
  journal.append('two');
  journal.close();
  assert.deepEqual(read(), ['two']);
});

test('a file that nobody may write is said with what to look at', (context) => {
  const journal = Journal.open(path);
  if (spawnSync('chattr', ['+i', path]).status !== 0) {
    journal.close();
    context.skip('this file system has no immutable files, or this is not root');
    return;
  }
  try {
    assert.throws(() => journal.append('one'), { name: 'JournalError', errno: 'EPERM', message: /lsattr/ });
    assert.throws(() => Journal.open(path), { name: 'JournalError', errno: 'EPERM', message: /cannot be opened.*lsattr/ });
  } finally {
    execFileSync('chattr', ['-i', path]);
  }
  journal.append('two');
  journal.close();
  assert.deepEqual(read(), ['two']);
});
