/** What a disk's file says of itself, without a process: of qcow2 its header (QEMU's docs/interop/qcow2.txt, "Header"), of raw its length. */
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

export type Format = 'raw' | 'qcow2';

export interface DiskFacts {
  /** As a guest sees it. */
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  /** The file that it lies over, absolute; undefined where it stands alone. */
  readonly backing: string | undefined;
}

const magic = 0x51_46_49_fb;
const headerBytes = 32;
/** The name of a backing file is at most so long. */
const maxName = 1023;

/** By its name, never by what is in it: a guest writes what is in a raw disk, and could make it look like qcow2 over any file of the host. */
export const formatOf = (file: string): Format => (file.endsWith('.qcow2') ? 'qcow2' : 'raw');

/** @throws the system's error, such as ENOENT; Error in words where a qcow2 file is none */
export async function readFacts(file: string, format: Format): Promise<DiskFacts> {
  const handle = await open(file, 'r');
  try {
    const { size, blocks } = await handle.stat();
    const allocatedBytes = blocks * 512;
    if (format === 'raw') return { sizeBytes: size, allocatedBytes, backing: undefined };
    const header = Buffer.alloc(headerBytes);
    const { bytesRead } = await handle.read(header, 0, headerBytes, 0);
    if (bytesRead < headerBytes || header.readUInt32BE(0) !== magic) throw new Error(`${file} is no qcow2 file`);
    const [at, length] = [Number(header.readBigUInt64BE(8)), header.readUInt32BE(16)];
    const sizeBytes = Number(header.readBigUInt64BE(24));
    if (at === 0 || length === 0) return { sizeBytes, allocatedBytes, backing: undefined };
    if (length > maxName) throw new Error(`${file} names a backing file of ${length} bytes`);
    const name = Buffer.alloc(length);
    await handle.read(name, 0, length, at);
    return { sizeBytes, allocatedBytes, backing: resolve(dirname(file), name.toString('utf8')) };
  } finally {
    await handle.close();
  }
}
