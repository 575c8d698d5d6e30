/**
 * The volume that cloud-init's NoCloud data source reads (its docs, "NoCloud": a vfat or iso9660 file system with the label `cidata`): a FAT12 of 1 MiB,
 * as Microsoft's "FAT: General Overview of On-Disk Format", 1.03, describes it. Made here and not by a tool, so that it is the same, byte for
 * byte, on every host: a VM that moves may have it mounted.
 */
import type { VmDefinition } from '@sealift/contract';

const sector = 512;
const sectors = 2048;
const fatSectors = 6;
const rootEntries = 64;
const rootAt = 1 + 2 * fatSectors;
const dataAt = rootAt + (rootEntries * 32) / sector;
const firstCluster = 2;
const endOfChain = 0xfff;
const label = 'cidata     ';
/** 1 January 1980, FAT's first day: when it was made must not show. */
const day = 0x0021;
/** UTF-16 units of a long name that one entry holds, where in the entry each lies. */
const nameUnits = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/** @returns undefined where the VM has none */
export function seedOf({ name, seed }: Pick<VmDefinition, 'name' | 'seed'>): Buffer | undefined {
  if (!seed) return undefined;
  const files = {
    'meta-data': seed.metaData ?? `instance-id: ${name}\nlocal-hostname: ${name}\n`,
    'user-data': seed.userData,
    ...(seed.networkConfig !== undefined && { 'network-config': seed.networkConfig }),
  };
  return volumeOf(Object.entries(files).map(([file, text]) => ({ name: file, content: Buffer.from(text) })));
}

function volumeOf(files: readonly { readonly name: string; readonly content: Buffer }[]): Buffer {
  const volume = Buffer.alloc(sectors * sector);
  bootSector(volume);
  const fat = [0xff8, endOfChain];
  const entries = [entry(label, 0x08, 0, 0)];
  for (const { name, content } of files) {
    const clusters = Math.ceil(content.length / sector);
    const first = clusters === 0 ? 0 : fat.length;
    content.copy(volume, (dataAt + fat.length - firstCluster) * sector);
    for (let left = clusters; left > 0; left -= 1) fat.push(left === 1 ? endOfChain : fat.length + 1);
    const short = `${name.slice(0, 6).toUpperCase()}~1   `;
    entries.push(...longName(name, short), entry(short, 0x20, first, content.length));
  }
  if (dataAt + fat.length - firstCluster > sectors) throw new RangeError('the seed does not fit into its volume'); // the contract's limits are far below
  Buffer.concat(entries).copy(volume, rootAt * sector);
  for (const at of [1, 1 + fatSectors]) packed(fat).copy(volume, at * sector);
  return volume;
}

function bootSector(volume: Buffer): void {
  volume.write('\xeb\x3c\x90SEALIFT ', 0, 'latin1');
  volume.writeUInt16LE(sector, 11);
  volume[13] = 1; // sectors in a cluster
  volume.writeUInt16LE(1, 14); // reserved: this one
  volume[16] = 2; // FATs
  volume.writeUInt16LE(rootEntries, 17);
  volume.writeUInt16LE(sectors, 19);
  volume[21] = 0xf8; // a fixed disk
  volume.writeUInt16LE(fatSectors, 22);
  volume.writeUInt16LE(32, 24); // sectors in a track, and below heads: what disks of that size say
  volume.writeUInt16LE(64, 26);
  volume[36] = 0x80;
  volume[38] = 0x29; // the three fields below are there
  volume.writeUInt32LE(0x5ea11f70, 39); // any serial number will do
  volume.write(`${label}FAT12   `, 43, 'latin1');
  volume.writeUInt16LE(0xaa55, 510);
}

function entry(name: string, attributes: number, cluster: number, size: number): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.write(name.slice(0, 11), 'latin1');
  bytes[11] = attributes;
  for (const at of [16, 18, 24]) bytes.writeUInt16LE(day, at);
  bytes.writeUInt16LE(cluster, 26);
  bytes.writeUInt32LE(size, 28);
  return bytes;
}

/** The entries that stand before the short one, last part first. */
function longName(name: string, short: string): Buffer[] {
  let checksum = 0;
  for (const byte of Buffer.from(short.slice(0, 11), 'latin1')) checksum = (((checksum & 1) << 7) + (checksum >> 1) + byte) & 0xff;
  const parts = Math.ceil(name.length / nameUnits.length);
  return Array.from({ length: parts }, (_, index) => {
    const part = parts - index;
    const bytes = Buffer.alloc(32);
    bytes[0] = part | (index === 0 ? 0x40 : 0);
    bytes[11] = 0x0f;
    bytes[13] = checksum;
    for (const [n, at] of nameUnits.entries()) {
      const place = (part - 1) * nameUnits.length + n;
      bytes.writeUInt16LE(place < name.length ? name.charCodeAt(place) : place === name.length ? 0 : 0xffff, at);
    }
    return bytes;
  });
}

/** Twelve bits each, two in three bytes. */
function packed(fat: readonly number[]): Buffer {
  const bytes = Buffer.alloc(fatSectors * sector);
  for (const [n, value] of fat.entries()) {
    const at = Math.floor((n * 3) / 2);
    const there = bytes.readUInt16LE(at);
    bytes.writeUInt16LE(n % 2 === 0 ? (there & 0xf000) | value : (there & 0x000f) | (value << 4), at);
  }
  return bytes;
}
