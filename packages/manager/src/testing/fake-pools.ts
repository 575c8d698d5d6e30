/** The pools of a pretended host: names in memory, and the refusals that a real one answers with. */
import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import {
  type Disk,
  type DiskUse,
  disksFault,
  type Image,
  type ImageImport,
  isPoolDisk,
  type Pool,
  SealiftError,
  type VmDefinition,
} from '@sealift/contract';

const MiB = 2 ** 20;

export class FakePools {
  readonly all: Pool[] = [{ name: 'default', path: '/var/lib/sealift/agent/pools/default', total: 4096 * MiB, available: 1024 * MiB }];
  /** Paths of disks that there are, with the image of each that is a clone. */
  readonly #files = new Map<string, string | undefined>();
  readonly #images = new Map<string, Image>();

  /** Makes the disks that are new. @throws SealiftError; nothing is made then */
  change(vm: VmDefinition, before: readonly Disk[]): void {
    const fault = disksFault(vm.disks);
    if (fault !== undefined) throw new SealiftError('invalid_request', `the definition of ${vm.name} is not right: ${fault}`);
    const old = new Map(before.filter(isPoolDisk).map((disk) => [`${disk.pool}/${disk.name}`, disk]));
    const made = new Map<string, string | undefined>();
    for (const disk of vm.disks.filter(isPoolDisk)) {
      const file = this.#fileOf(vm.name, disk);
      const there = old.get(`${disk.pool}/${disk.name}`);
      if (there && !isDeepStrictEqual({ ...there, shared: true }, { ...disk, shared: true })) {
        throw new SealiftError('invalid_request', `disk ${disk.name} of VM ${vm.name} is made already`);
      }
      if (there) continue;
      if (this.#files.has(file)) throw new SealiftError('already_exists', `there is a file ${file} already`);
      const image = disk.image === undefined ? undefined : this.#image(disk.pool, disk.image);
      const size = disk.sizeMiB === undefined ? (image?.sizeBytes ?? 0) : disk.sizeMiB * MiB;
      if (size < (image?.sizeBytes ?? 0)) throw new SealiftError('invalid_request', `disk ${disk.name} is smaller than its image`);
      const pool = this.#pool(disk.pool);
      if (disk.format === 'raw' && size > pool.available)
        throw new SealiftError('no_room', `disk ${disk.name} has no room in ${disk.pool}`);
      made.set(file, disk.clone ? disk.image : undefined);
    }
    for (const [file, image] of made) this.#files.set(file, image);
  }

  filesOf(vm: string, disks: readonly Disk[]): string[] {
    return disks.filter(isPoolDisk).map((disk) => this.#fileOf(vm, disk));
  }

  /** As a report says it; of a VM that has none in pools, nothing. */
  useOf({ name, disks }: VmDefinition): { disks?: DiskUse[] } {
    const files = this.filesOf(name, disks);
    return files.length === 0 ? {} : { disks: files.map((path) => ({ path, sizeBytes: MiB, allocatedBytes: 4096 })) };
  }

  /** Those of its disks that only its host has are made here. @throws SealiftError; nothing is made then */
  arrive(vm: VmDefinition): void {
    const files = this.#ownFiles(vm);
    const there = files.find((file) => this.#files.has(file));
    if (there !== undefined) throw new SealiftError('already_exists', `there is a file ${there} already`);
    for (const file of files) this.#files.set(file, undefined);
  }

  /** It has gone to another host, or did not come. */
  leave(vm: VmDefinition): void {
    this.remove(this.#ownFiles(vm));
  }

  remove(files: readonly string[]): void {
    for (const file of files) this.#files.delete(file);
  }

  images(): Image[] {
    return [...this.#images.values()].map((image) => ({ ...image, usedBy: this.#usersOf(image) }));
  }

  import({ pool, name, path }: ImageImport): Image {
    this.#pool(pool);
    if (this.#images.has(`${pool}/${name}`)) throw new SealiftError('already_exists', `pool ${pool} has an image ${name} already`);
    if (!existsSync(path)) throw new SealiftError('not_found', `there is no file ${path} to import`);
    const format = name.endsWith('.qcow2') ? 'qcow2' : 'raw';
    const image: Image = { pool, name, format, sizeBytes: MiB, allocatedBytes: 0, usedBy: [] };
    this.#images.set(`${pool}/${name}`, image);
    return image;
  }

  removeImage(pool: string, name: string): void {
    const users = this.#usersOf(this.#image(pool, name));
    if (users.length > 0) throw new SealiftError('wrong_state', `image ${name} is in use: ${users.join(', ')}`);
    this.#images.delete(`${pool}/${name}`);
  }

  #usersOf({ name }: Image): string[] {
    return [...this.#files].flatMap(([file, image]) => (image === name ? [file] : []));
  }

  #image(pool: string, name: string): Image {
    this.#pool(pool);
    const image = this.#images.get(`${pool}/${name}`);
    if (!image) throw new SealiftError('not_found', `pool ${pool} has no image ${name}`);
    return image;
  }

  #ownFiles({ name, disks }: VmDefinition): string[] {
    const own = disks.filter(({ shared }) => !shared);
    return this.filesOf(name, own);
  }

  #pool(name: string): Pool {
    const pool = this.all.find((each) => each.name === name);
    if (!pool) throw new SealiftError('no_room', `this host has no pool ${name}`);
    return pool;
  }

  #fileOf(vm: string, { pool, name, format }: { pool: string; name: string; format: string }): string {
    return `${this.#pool(pool).path}/${vm}.${name}.${format}`;
  }
}
