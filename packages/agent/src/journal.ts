/**
 * The journal: what this agent has promised, on disk before it acts.
 *
 * A file of lines, one record each:
 *
 *     crc32 SP {"seq":n,"record":{…}} LF
 *
 * `crc32` is eight hexadecimal digits over everything between the space and the line feed (it finds every change confined to four
 * neighbouring bytes); `seq` starts at 1 and rises by one a line, so that a line that went missing is noticed too.
 *
 * A crash can leave the last line unfinished, and only that one: every append is one write, and the next starts only after the
 * device has confirmed it. A line without its line feed was therefore never acknowledged and is dropped on opening. Anything else
 * that does not check is damage, and refused: reading on without a record could let a VM run twice.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { crc32 } from 'node:zlib';

/**
 * The device refused a write: full (ENOSPC), read-only (EROFS), failing (EIO)… Nothing may be acted on that was to be recorded. The message
 * names the file and the errno, and ends with what an administrator does about it.
 */
export class JournalError extends Error {
  /** Such as `ENOSPC`. */
  readonly errno: string;
  /** No record is accepted any more before the agent is started again. */
  readonly final: boolean;

  constructor(path: string, doing: string, cause: unknown, final = false) {
    const errno = errnoOf(cause);
    super(`the journal ${path} ${doing}: ${errno}${wordsOf(cause)}. ${adviceOn(errno, dirname(path), final)}`, { cause });
    this.name = 'JournalError';
    this.errno = errno;
    this.final = final;
  }
}

/** A line that was once confirmed does not read back as written. */
export class JournalCorrupt extends Error {
  readonly line: number;

  constructor(path: string, line: number, what: string) {
    super(
      `journal ${path} is damaged at line ${line}: ${what}. It says which VMs this host may run, so it is not read any further. ` +
        'Make sure that every VM that this host was moving runs on one host only, then move the file away and start the agent again',
    );
    this.name = 'JournalCorrupt';
    this.line = line;
  }
}

/** Below this size compaction is not worth its fsyncs: a migration writes about 1.1 KiB. */
const smallestWorthCompacting = 64 * 1024;

export class Journal {
  readonly path: string;
  /** Bytes of an unfinished last line that opening dropped; 0 after an orderly end. */
  readonly droppedBytes: number;
  #fd: number;
  #seq: number;
  #size: number;
  #sizeOfLive: number;
  #records: unknown[];
  /** Nothing stands behind the last line that counts. */
  #clean = true;
  /** Set once the file's state on the device is unknown; nothing is accepted after that. */
  #broken: unknown;

  private constructor(path: string, fd: number, read: { records: unknown[]; size: number; dropped: number }) {
    this.path = path;
    this.#fd = fd;
    this.#records = read.records;
    this.#seq = read.records.length;
    this.#size = read.size;
    this.#sizeOfLive = read.size;
    this.droppedBytes = read.dropped;
  }

  /**
   * Opens the journal, making it (mode 0600) where there is none.
   * @throws JournalCorrupt when an acknowledged line does not check
   * @throws JournalError when the file cannot be opened, repaired or created
   */
  static open(path: string): Journal {
    // A compaction may not have got as far as its rename.
    attempt(path, 'cannot be made ready', () => rmSync(`${path}.new`, { force: true }));
    const fd = attempt(path, 'cannot be opened', () => openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600));
    try {
      const content = attempt(path, 'cannot be read', () => readFileSync(fd));
      const read = parse(path, content);
      attempt(path, 'cannot be made ready', () => {
        if (read.dropped > 0) ftruncateSync(fd, read.size);
        fsyncSync(fd);
        syncDirectory(dirname(path));
      });
      return new Journal(path, fd, read);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Every record since the last compaction, oldest first. */
  get records(): readonly unknown[] {
    return this.#records;
  }

  /** Has it doubled since the last compaction, and is it worth one? */
  get grown(): boolean {
    return this.#size >= smallestWorthCompacting && this.#size >= 2 * this.#sizeOfLive;
  }

  /**
   * Records, and returns once the device has confirmed it: one write and one fdatasync, a few tenths of a millisecond.
   * @param record anything that JSON carries
   * @throws JournalError; the record must then be taken as not written, and not acted on. After a failed fdatasync nobody can say
   *   what the device holds (Linux drops the dirty pages): the line is taken back as far as that goes, so that an agent that starts again
   *   does not read what was reported as refused, and every later append is refused until one does.
   */
  append(record: unknown): void {
    this.#requireSound();
    const line = lineOf(this.#seq + 1, record);
    try {
      if (!this.#clean) ftruncateSync(this.#fd, this.#size);
      this.#clean = true;
      writeWhole(this.#fd, line);
    } catch (error) {
      this.#takeBack();
      throw new JournalError(this.path, 'cannot be written', error);
    }
    try {
      fdatasyncSync(this.#fd);
    } catch (error) {
      this.#takeBack();
      this.#broken = error;
      throw new JournalError(this.path, 'could not be brought to the device', error, true);
    }
    this.#seq += 1;
    this.#size += line.length;
    // As it will be read back, and out of reach of whoever holds the object.
    this.#records.push(JSON.parse(JSON.stringify(record)));
  }

  /**
   * Replaces the content by `live`, in one step as far as a crash can see. Not for the middle of a switch-over: it costs several fsyncs.
   * @throws JournalError; the old content then stands, unless the directory could not be synced
   */
  compact(live: readonly unknown[]): void {
    this.#requireSound();
    const content = Buffer.concat(live.map((record, index) => lineOf(index + 1, record)));
    const next = `${this.path}.new`;
    const fd = attempt(next, 'cannot be created', () =>
      openSync(next, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND, 0o600),
    );
    try {
      writeWhole(fd, content);
      fsyncSync(fd);
      renameSync(next, this.path);
    } catch (error) {
      closeSync(fd);
      rmSync(next, { force: true });
      throw new JournalError(this.path, 'cannot be compacted', error);
    }
    closeSync(this.#fd);
    this.#fd = fd;
    this.#seq = live.length;
    this.#size = content.length;
    this.#sizeOfLive = content.length;
    this.#records = live.map((record) => JSON.parse(JSON.stringify(record)));
    try {
      syncDirectory(dirname(this.path));
    } catch (error) {
      this.#broken = error; // after a crash the name could lead to the old content: what is appended now would be gone
      throw new JournalError(this.path, 'could not be brought to the device', error, true);
    }
  }

  close(): void {
    this.#broken ??= new Error('closed');
    closeSync(this.#fd);
  }

  #requireSound(): void {
    if (this.#broken !== undefined) throw new JournalError(this.path, 'takes no records since an earlier failure', this.#broken, true);
  }

  /** After a short write (a full device) part of a line stands there; the next append must not continue it. */
  #takeBack(): void {
    try {
      ftruncateSync(this.#fd, this.#size);
    } catch {
      this.#clean = false; // a read-only device takes nothing back either; the next append tries again first
    }
  }
}

const lineOf = (seq: number, record: unknown): Buffer => {
  const body = Buffer.from(JSON.stringify({ seq, record }));
  return Buffer.concat([Buffer.from(`${checksum(body)} `), body, Buffer.from('\n')]);
};

const checksum = (body: Uint8Array): string => crc32(body).toString(16).padStart(8, '0');

const parse = (path: string, content: Buffer): { records: unknown[]; size: number; dropped: number } => {
  const records: unknown[] = [];
  let start = 0;
  for (let end = content.indexOf(10); end >= 0; end = content.indexOf(10, start)) {
    const number = records.length + 1;
    const body = content.subarray(start + 9, end);
    if (content.toString('latin1', start, start + 9) !== `${checksum(body)} `)
      throw new JournalCorrupt(path, number, 'its checksum is wrong');
    const { seq, record } = JSON.parse(body.toString()) as { seq: number; record: unknown }; // the checksum says that we wrote it
    if (seq !== number) throw new JournalCorrupt(path, number, `it carries the number ${seq}`);
    records.push(record);
    start = end + 1;
  }
  return { records, size: start, dropped: content.length - start };
};

const writeWhole = (fd: number, bytes: Uint8Array): void => {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
};

const syncDirectory = (path: string): void => {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
};

const attempt = <T>(path: string, doing: string, act: () => T): T => {
  try {
    return act();
  } catch (error) {
    throw new JournalError(path, doing, error);
  }
};

/** What helps, by the errno. @param final whether the agent has to be started again */
const adviceOn = (errno: string, directory: string, final: boolean): string => {
  const cure: Readonly<Record<string, string>> = {
    ENOSPC: `Make room on the file system of ${directory}`,
    EDQUOT: `Make room within the quota on the file system of ${directory}`,
    EROFS: `Find out why the file system of ${directory} is read-only (dmesg), repair it and mount it writable`,
    EPERM: 'Let the agent write that file: look at its attributes (lsattr) and owner',
    EACCES: 'Let the agent write that file: look at its mode and owner, and at those of its directory',
    EISDIR: 'A directory stands in its place: move it away',
  };
  return `${cure[errno] ?? `Look at the device under ${directory} (dmesg) and repair it`}${final ? ', then start the agent again' : ''}`;
};

const wordsOf = (error: unknown): string =>
  error instanceof Error && 'errno' in error && typeof error.errno === 'number' ? ` (${getSystemErrorMessage(error.errno)})` : '';

const errnoOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : error instanceof Error
      ? error.message
      : String(error);
