/** A guest that is enough to see whether it moved whole: a boot sector that idles, in a memory and on disks full of random bytes. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LibvirtHost } from './lab.ts';

const images = '/var/lib/libvirt/images';
const mebibyte = 1024 * 1024;

/** `sti; again: hlt; jmp again`: the firmware's clock goes on counting at 0x46c. */
const idle = Buffer.from('fbf4ebfd', 'hex');
const bootSignature = Buffer.from('55aa', 'hex');

const domain = (disks: readonly string[]): string => `
<domain type='qemu'>
  <name>web</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='custom' match='exact'><model>qemu64</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    ${disks
      .map(
        (name) => `<disk type='file'>
      <driver name='qemu' type='raw'/>
      <source file='${images}/${name}'/>
      <target dev='${name}' bus='virtio'/>
    </disk>`,
      )
      .join('\n    ')}
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
`;

/** The running VM `web`, wherever it is. */
export class Guest {
  readonly #disks: ReadonlyMap<string, Buffer>;
  readonly #bootSector: Buffer;

  private constructor(disks: ReadonlyMap<string, Buffer>, bootSector: Buffer) {
    this.#disks = disks;
    this.#bootSector = bootSector;
  }

  /** Boots it. @param sizes of its disks in MiB; the other host gets images of the same sizes, with nothing in them */
  static async boot(host: LibvirtHost, other: LibvirtHost, ...sizes: number[]): Promise<Guest> {
    const disks = new Map(sizes.map((size, i) => [`vd${'abc'[i]}`, randomBytes(size * mebibyte)]));
    const [bootDisk] = disks.values();
    if (!bootDisk) throw new Error('it boots from a disk and needs one');
    idle.copy(bootDisk);
    bootSignature.copy(bootDisk, 510);
    for (const each of [host, other]) mkdirSync(each.path(images));
    for (const [name, content] of disks) {
      writeFileSync(host.path(`${images}/${name}`), content);
      writeFileSync(other.path(`${images}/${name}`), '');
      truncateSync(other.path(`${images}/${name}`), content.length);
    }
    writeFileSync(host.path('/run/libvirt/web.xml'), domain([...disks.keys()]));
    await host.must('create', host.path('/run/libvirt/web.xml'));
    const guest = new Guest(disks, bootDisk.subarray(0, 512));
    while (!(await guest.hasItsMemory(host))) await sleep(100);
    return guest;
  }

  /** Whether its boot sector, which is like no other's, is in its memory where the firmware put it when it booted. */
  async hasItsMemory(host: LibvirtHost): Promise<boolean> {
    return (await memory(host, 0x7c00, 512)).equals(this.#bootSector);
  }

  /** Whether the host's images hold what the VM's disks did when it booted. */
  hasItsDisks(host: LibvirtHost): boolean {
    return [...this.#disks].every(([name, content]) => readFileSync(host.path(`${images}/${name}`)).equals(content));
  }

  /** Whether anything has been written to the host's images, which were empty. */
  hasSomeOfItsDisks(host: LibvirtHost): boolean {
    return [...this.#disks].some(([name, { length }]) => !readFileSync(host.path(`${images}/${name}`)).equals(Buffer.alloc(length)));
  }

  /** The firmware's clock ticks 18 times a second as long as the vCPU runs. */
  async ticks(host: LibvirtHost): Promise<number> {
    return (await memory(host, 0x46c, 4)).readUInt32LE();
  }

  /** Until it is seen to run. */
  async runs(host: LibvirtHost): Promise<void> {
    const start = await this.ticks(host);
    while ((await this.ticks(host)) === start) await sleep(100);
  }
}

/** Physical memory of the guest, through QEMU's monitor. */
async function memory(host: LibvirtHost, from: number, length: number): Promise<Buffer> {
  const dump = await host.must('qemu-monitor-command', 'web', '--hmp', `xp /${length}xb ${from}`);
  return Buffer.from([...dump.matchAll(/0x([0-9a-f]{2})\b(?!:)/g)].map(([, byte]) => byte).join(''), 'hex');
}
