/**
 * A guest that writes to its disks all the time, as a boot sector: blocks in a random order, each with what only that write has, and after each how many
 * there were. So a disk says by itself which writes it must have, and each of them can be looked for: {@link writtenProblems}. Reset, it begins anew.
 *
 *     first disk   0 boot sector   4 KiB head: how many writes are done   8 KiB free   512 KiB blocks of 32 KiB
 *     second disk                                                         0 free       512 KiB blocks of 32 KiB
 */
import { readFileSync } from 'node:fs';

const blockBytes = 32_768;
const firstBlock = 16;
const sectorBytes = 512;
/** On the first disk. */
const headAt = 4096;
const headBytes = 4096;
/** Where a text may be planted. */
export const markerAt = 8192;
/** Where TSC frequencies are, give or take a factor of 1.5; the guest's pace is as exact as that. */
const tscHz = 2.5e9;

export interface WritingGuest {
  /** Of each disk, a power of two, 16 at least. Each takes 32 KiB. */
  readonly blocks: number;
  /** With two, writes take turns. */
  readonly disks: 1 | 2;
  /** At most, and at least one; the firmware of an emulated machine may manage no more than 50. Each is one of a block and one of the head. */
  readonly writesPerSecond: number;
}

/** Bytes that a disk of it needs. */
export const writingDiskBytes = ({ blocks }: Pick<WritingGuest, 'blocks'>): number => (firstBlock + blocks) * blockBytes;

/** The first sector of the first disk; everything else is zeroes at first. A dot goes to COM1 for every 64 writes, and exclamation marks when one fails. */
export function writingGuest({ blocks, disks, writesPerSecond }: WritingGuest): Buffer {
  if (blocks < 16 || (blocks & (blocks - 1)) !== 0) throw new RangeError(`${blocks} blocks: it is to be a power of two, 16 at least`);
  const ticks = Math.round(tscHz / writesPerSecond);
  const code = Buffer.concat([
    hex('66 31 c0'), //                                 xor eax, eax
    hex('8e d8 8e d0 bc 00 7c fc'), //                  ds = ss = 0; sp = 0x7c00; cld
    hex('66 a3 00 06 66 a3 04 06'), //                  [0x600] writes = 0; [0x604] value = 0
    hex('b8 00 10 8e c0'), //                           es = 0x1000: the block is at 64 KiB
    // next:
    hex('0f 31 66 a3 08 06'), //                        rdtsc; [0x608] = eax
    hex('66 ff 06 00 06'), //                           inc dword [0x600]
    hex('66 69 06 04 06 0d 66 19 00'), //               imul eax, [0x604], 1664525
    hex('66 05 5f f3 6e 3c 66 a3 04 06'), //            add eax, 1013904223; [0x604] = eax
    hex('bf 00 00 b9 00 20 66 f3 ab'), //               it is 8192 times the value
    hex('66 8b 0e 00 06 66 26 89 0e 00 00'), //         ecx = writes, which is its first word
    hex('66 c1 e8 08 66 25'), // shr eax, 8
    u32(blocks - 1), //                                 and eax, blocks - 1
    hex('66 83 c0 10 66 c1 e0 06 66 a3 d8 7d'), //      (eax + 16) * 64 is the sector in the packet at 0x7dd0
    hex('b2 80 80 e1'), // dl = 0x80
    Buffer.of(disks - 1), //                            and cl, disks - 1
    hex('00 ca be d0 7d e8 2e 00'), //                  dl += cl; si = 0x7dd0; call put
    hex('66 a1 00 06 66 a3 00 90'), //                  the head at 0x9000: writes
    hex('b2 80 be e0 7d e8 1e 00'), //                  dl = 0x80; si = 0x7de0; call put
    hex('f6 06 00 06 3f 75 05'), //                     test byte [0x600], 63; jnz wait
    hex('b0 2e e8 22 00'), //                           al = '.'; call say
    // wait:
    hex('0f 31 66 2b 06 08 06 66 3d'), // rdtsc; sub eax, [0x608]
    u32(ticks), //                                      cmp eax, ticks
    hex('72 f1 e9 7d ff'), //                           jb wait; jmp next
    // put, by the BIOS's extended write (Enhanced Disk Drive Specification, INT 13h AH 43h):
    hex('b8 00 43 cd 13 72 01 c3'), //                  ax = 0x4300; int 0x13; jc fail; ret
    hex('b0 21 e8 03 00 f4 eb f8'), //                  fail: al = '!'; call say; hlt; jmp fail
    hex('ba f8 03 ee c3'), //                           say: out 0x3f8, al; ret
  ]);
  const sector = Buffer.alloc(512);
  code.copy(sector);
  packet({ segment: 0x1000, offset: 0, bytes: blockBytes, at: 0 }).copy(sector, 0x1d0);
  packet({ segment: 0, offset: 0x9000, bytes: headBytes, at: headAt }).copy(sector, 0x1e0);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/** What the BIOS is to write, from its memory to a place on the disk. */
function packet({ segment, offset, bytes, at }: { segment: number; offset: number; bytes: number; at: number }): Buffer {
  const made = Buffer.alloc(16);
  made[0] = made.length;
  made.writeUInt16LE(bytes / sectorBytes, 2);
  made.writeUInt16LE(offset, 4);
  made.writeUInt16LE(segment, 6);
  made.writeUInt32LE(at / sectorBytes, 8);
  return made;
}

export interface Written {
  /** That the head tells of. */
  readonly writes: number;
  /** Blocks that are not as those writes have left them, in words, the first few. */
  readonly problems: readonly string[];
}

/**
 * Has every write that the head tells of reached its disk, and nothing else but perhaps the one after?
 * @param paths of the disks in raw format, of a guest that does not run
 */
export function writtenProblems({ blocks, disks }: Pick<WritingGuest, 'blocks' | 'disks'>, paths: readonly string[]): Written {
  const files = paths.slice(0, disks).map((path) => readFileSync(path));
  const writes = files[0]?.readUInt32LE(headAt) ?? 0;
  const last = Array.from({ length: disks }, () => new Map<number, Write>());
  let write: Write = { number: 0, value: 0 };
  for (let n = 1; n <= writes; n++) {
    write = after(write);
    last[n % disks]?.set(blockOf(write, blocks), write);
  }
  const next = after(write);
  const problems: string[] = [];
  for (const [disk, file] of files.entries()) {
    for (let block = 0; block < blocks && problems.length < 10; block++) {
      const found = file.subarray((firstBlock + block) * blockBytes, (firstBlock + block + 1) * blockBytes);
      const wanted = last[disk]?.get(block);
      if (found.equals(contentOf(wanted))) continue;
      if (disk === next.number % disks && block === blockOf(next, blocks) && found.equals(contentOf(next))) continue;
      problems.push(
        `disk ${disk}, block ${block} is of write ${found.readUInt32LE(0)} and should be of write ${wanted?.number ?? 0}, whole`,
      );
    }
  }
  return { writes, problems };
}

interface Write {
  /** From 1. */
  readonly number: number;
  readonly value: number;
}

const after = ({ number, value }: Write): Write => ({ number: number + 1, value: (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0 });
const blockOf = ({ value }: Write, blocks: number): number => (value >>> 8) & (blocks - 1);

/** Of a block that was never written, zeroes. */
function contentOf(write: Write | undefined): Buffer {
  const block = Buffer.alloc(blockBytes, u32(write?.value ?? 0));
  block.writeUInt32LE(write?.number ?? 0);
  return block;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
