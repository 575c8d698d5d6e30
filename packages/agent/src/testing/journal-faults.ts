/** Makes a journal's file refuse what is written to it, as a device would, for as long as a test holds this. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';

export interface JournalFault {
  readonly call: 'write' | 'fdatasync';
  readonly errno: 'EIO' | 'EPERM' | 'EROFS' | 'ENOSPC';
  /** Only records that hold this text. */
  readonly at?: string;
}

const { writeSync, fdatasyncSync } = fs;
const faults = new Set<(call: JournalFault['call'], path: string, written: string) => void>();
/** By descriptor. */
const lastWritten = new Map<number, string>();

/**
 * Of the node:fs of this process, whoever imported it how.
 *
 * @param path of the journal, whose other users are not disturbed
 */
export function failJournal(path: string, { call, errno, at = '' }: JournalFault): Disposable & { readonly refused: readonly string[] } {
  const refused: string[] = [];
  const fault = (its: JournalFault['call'], file: string, written: string): void => {
    if (its !== call || file !== path || !written.includes(at)) return;
    refused.push(written);
    throw Object.assign(new Error(`${errno}: ${call}`), { code: errno, errno: -constants.errno[errno], syscall: call });
  };
  faults.add(fault);
  if (faults.size === 1) install();
  return {
    refused,
    [Symbol.dispose]: () => {
      faults.delete(fault);
      if (faults.size === 0) uninstall();
    },
  };
}

function install(): void {
  const meet = (call: JournalFault['call'], fd: number): void => {
    const path = fs.readlinkSync(`/proc/self/fd/${fd}`);
    for (const fault of faults) fault(call, path, lastWritten.get(fd) ?? '');
  };
  fs.writeSync = ((fd: number, bytes: Uint8Array, ...more: []) => {
    lastWritten.set(fd, Buffer.from(bytes).toString());
    meet('write', fd);
    return writeSync(fd, bytes, ...more);
  }) as typeof fs.writeSync; // the journal uses this one of its shapes
  fs.fdatasyncSync = (fd) => {
    meet('fdatasync', fd);
    fdatasyncSync(fd);
  };
  syncBuiltinESMExports();
}

function uninstall(): void {
  Object.assign(fs, { writeSync, fdatasyncSync });
  lastWritten.clear();
  syncBuiltinESMExports();
}
