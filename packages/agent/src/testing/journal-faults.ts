/** Makes a journal's file refuse what is written to it, as a device would, for as long as a test holds this. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';

export interface JournalFault {
  readonly call: 'write' | 'fdatasync';
  readonly errno: 'EIO' | 'EPERM' | 'EROFS' | 'ENOSPC';
  /** Only records that hold this text; what is not written then cannot fail to be brought to the device either. */
  readonly at?: string;
}

const { writeSync, fdatasyncSync } = fs;

/** Of the node:fs of this process, whoever imported it how. Only one at a time. @param path of the journal, whose other users are not disturbed */
export function failJournal(path: string, { call, errno, at = '' }: JournalFault): Disposable & { readonly refused: readonly string[] } {
  const refused: string[] = [];
  let last = '';
  const hits = (fd: number): boolean => fs.readlinkSync(`/proc/self/fd/${fd}`) === path && last.includes(at);
  const refuse = (syscall: string): never => {
    refused.push(last);
    throw Object.assign(new Error(`${errno}: ${syscall}`), { code: errno, errno: -constants.errno[errno], syscall });
  };
  fs.writeSync = ((fd: number, bytes: Uint8Array, ...more: []) => {
    last = Buffer.from(bytes).toString();
    return call === 'write' && hits(fd) ? refuse('write') : writeSync(fd, bytes, ...more);
  }) as typeof fs.writeSync; // the journal uses this one of its shapes
  fs.fdatasyncSync = (fd) => (call === 'fdatasync' && hits(fd) ? refuse('fdatasync') : fdatasyncSync(fd));
  syncBuiltinESMExports();
  return {
    refused,
    [Symbol.dispose]: () => {
      fs.writeSync = writeSync;
      fs.fdatasyncSync = fdatasyncSync;
      syncBuiltinESMExports();
    },
  };
}
