/**
 * A guest that writes to its memory all the time, as a multiboot kernel of a hundred bytes: one write to each page of its working set, again and again, and
 * a dot on the serial console at the end of each round. (Multiboot 0.6.96, with the address fields, so that it needs no ELF.)
 */
import { writeFileSync } from 'node:fs';

const loadAddress = 0x10_0000;
const firstByte = 0x20_0000;
const pageBytes = 4096;
/** Where TSC frequencies are, give or take a factor of 1.5; the guest's pace is as exact as that. */
const tscHz = 2.5e9;

export interface BusyGuest {
  readonly workingSetMiB: number;
  /** At most; what the vCPU gets of a CPU may make it less. */
  readonly bytesPerSecond: number;
}

/** Writes the kernel to a file, for `kernelBoot`. The VM needs 2 MiB more than the working set, and what its firmware takes. */
export function writeBusyGuest(file: string, { workingSetMiB, bytesPerSecond }: BusyGuest): void {
  const end = firstByte + workingSetMiB * 1024 * 1024;
  const ticks = Math.round((tscHz * pageBytes) / bytesPerSecond);
  const code = Buffer.concat([
    ...[Buffer.of(0xbf), u32(firstByte)], //          sweep: mov edi, first
    Buffer.of(0xff, 0x07), //                         page:  inc dword [edi]
    Buffer.of(0x0f, 0x31, 0x89, 0xc6), //                    rdtsc; mov esi, eax
    Buffer.of(0x0f, 0x31, 0x29, 0xf0), //             wait:  rdtsc; sub eax, esi
    ...[Buffer.of(0x3d), u32(ticks)], //                     cmp eax, ticks
    Buffer.of(0x72, 0xf5), //                                jb wait
    ...[Buffer.of(0x81, 0xc7), u32(pageBytes)], //           add edi, 4096
    ...[Buffer.of(0x81, 0xff), u32(end)], //                 cmp edi, end
    Buffer.of(0x72, 0xe1), //                                jb page
    ...[Buffer.of(0xba), u32(0x3f8)], //                     mov edx, COM1
    Buffer.of(0xb0, 0x2e, 0xee), //                          mov al, '.'; out dx, al
    Buffer.of(0xeb, 0xd2), //                                jmp sweep
  ]);
  const magic = 0x1bad_b002;
  const flags = 0x0001_0000;
  const header = [magic, flags, 0x1_0000_0000 - magic - flags, loadAddress, loadAddress, 0, 0, loadAddress + 32];
  writeFileSync(file, Buffer.concat([...header.map(u32), code]));
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
