/**
 * The disks that VMs have in pools: made when the VM is defined, removed when it is. They are made under another name, the VM is recorded, and then
 * they get theirs: an agent that is killed on the way has, at its next start, either the VM with all of its disks or nothing of it.
 */
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type Disk, isPoolDisk, type PoolDisk, SealiftError } from '@sealift/contract';
import type { Undo } from '../undo.ts';
import { Turns } from '../vms/turns.ts';
import type { Pools } from './pools.ts';
import { unlessMissing } from './pools.ts';
import { type DiskFacts, formatOf, readFacts } from './qcow2.ts';
import { asSealift, mib, noRoom, qemuImg } from './qemu-img.ts';

const MiB = 2 ** 20;
/** Headers and tables of a qcow2 file that holds nothing yet. */
const emptyBytes = MiB;

/** A disk that is on its way here. */
export interface Copy {
  readonly disk: PoolDisk;
  /** As the guest sees it. */
  readonly sizeBytes: number;
  /** What it takes at the source: at least so much is needed here. */
  readonly allocatedBytes: number;
}

export class Disks {
  readonly pools: Pools;
  /** A clone is made, or an image removed: one at a time, or the image could go from under it. */
  readonly imageTurns = new Turns();
  readonly #closing = new AbortController();

  constructor(pools: Pools) {
    this.pools = pools;
  }

  /** What is being copied is given up. */
  close(): void {
    this.#closing.abort();
  }

  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  /** Of a VM: its disks' files, in their order. @throws SealiftError `no_room` where this host lacks a pool */
  files(vm: string, disks: readonly Disk[]): string[] {
    return disks.map((disk) => (isPoolDisk(disk) ? this.pools.disk(vm, disk) : disk.path));
  }

  /**
   * Makes the disks that `after` has in pools and `before` has not. Files of those that it has no more are left.
   * @param save records the VM with them; called when they are made and before they have their names
   * @throws SealiftError `invalid_request`, `not_found`, `already_exists`, `no_room`, `hypervisor`; `undo` then takes back what was done
   */
  async change(vm: string, before: readonly Disk[], after: readonly Disk[], undo: Undo, save: () => Promise<void>): Promise<void> {
    if (isDeepStrictEqual(before, after)) return save(); // also where this host has lost a pool
    const old = new Map(before.filter(isPoolDisk).map((disk) => [`${disk.pool}/${disk.name}`, disk]));
    const wanted: PoolDisk[] = [];
    for (const disk of after.filter(isPoolDisk)) {
      const there = old.get(`${disk.pool}/${disk.name}`);
      if (!there) wanted.push(disk);
      else if (!isDeepStrictEqual({ ...there, shared: true }, { ...disk, shared: true })) {
        const message = `disk ${disk.name} of VM ${vm} is made already: its size, format and image stay as they are. Give another one another name`;
        throw new SealiftError('invalid_request', message);
      }
    }
    for (const disk of wanted) await this.#requireFree(vm, disk);
    for (const disk of wanted) await this.#make(vm, disk, undo);
    await save();
    for (const disk of wanted) await this.#place(vm, disk, undo);
  }

  /**
   * Makes empty disks for a VM that is on its way here, which are filled as it comes.
   * @param save records that they are the VM's own; called when they are made and before they have their names
   * @throws as {@link change}
   */
  async makeCopies(vm: string, copies: readonly Copy[], undo: Undo, save: () => Promise<void>): Promise<void> {
    for (const { disk } of copies) await this.#requireFree(vm, disk);
    for (const copy of copies) await this.#makeCopy(vm, copy, undo);
    await save();
    for (const { disk } of copies) await this.#place(vm, disk, undo);
  }

  /** What was written to them is there after a power failure. */
  async sync(vm: string, disks: readonly PoolDisk[]): Promise<void> {
    for (const disk of disks) await sync(this.pools.disk(vm, disk));
  }

  /** @returns the files that were removed: those of disks in pools, never an image, never what a VM has by its path */
  async remove(vm: string, disks: readonly Disk[]): Promise<string[]> {
    const files = disks.filter(isPoolDisk).map((disk) => this.pools.disk(vm, disk));
    for (const file of files) {
      try {
        await rm(file, { force: true });
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new SealiftError('internal', `a disk of VM ${vm} cannot be removed from host ${this.pools.host}: ${why}`, { cause });
      }
    }
    for (const directory of new Set(files.map(dirname))) await sync(directory);
    return files;
  }

  /** @throws SealiftError `not_found` */
  async imageFacts(pool: string, image: string): Promise<DiskFacts> {
    const file = this.pools.image(pool, image);
    try {
      return await readFacts(file, formatOf(image));
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') {
        const message = `pool ${pool} of host ${this.pools.host} has no image ${image}: there is no ${file}; see sealift image ls`;
        throw new SealiftError('not_found', message, { cause });
      }
      throw await asSealift(cause, `image ${image}`, pool, this.pools);
    }
  }

  async #requireFree(vm: string, disk: PoolDisk): Promise<void> {
    const file = this.pools.disk(vm, disk);
    const there = await open(file, 'r').catch(unlessMissing);
    await there?.close();
    if (!there) return;
    const message = `disk ${disk.name} of VM ${vm} is not made on host ${this.pools.host}: there is a file ${file} already. Use it by its path, or remove it`;
    throw new SealiftError('already_exists', message, { details: { path: file } });
  }

  async #make(vm: string, disk: PoolDisk, undo: Undo): Promise<void> {
    const what = `disk ${disk.name} of VM ${vm}`;
    const file = this.pools.partialDisk(vm, disk);
    try {
      const image = disk.image === undefined ? undefined : await this.imageFacts(disk.pool, disk.image);
      await this.#requireRoom(what, disk, image);
      undo.push(`remove ${file}`, () => rm(file, { force: true }));
      // So that nobody else can read it, whatever qemu-img is told by its umask. Nothing else has this name.
      await (await open(file, 'w', 0o600)).close();
      if (disk.clone) await this.imageTurns.take(() => this.#fill(disk, file, image));
      else await this.#fill(disk, file, image);
      await sync(file);
    } catch (error) {
      throw await asSealift(error, what, disk.pool, this.pools);
    }
  }

  async #makeCopy(vm: string, { disk, sizeBytes, allocatedBytes }: Copy, undo: Undo): Promise<void> {
    const what = `disk ${disk.name} of VM ${vm}`;
    const file = this.pools.partialDisk(vm, disk);
    try {
      const { available } = await this.pools.space(disk.pool);
      const needed = disk.format === 'raw' ? sizeBytes : allocatedBytes + emptyBytes;
      if (needed > available) throw await noRoom(what, disk.pool, this.pools, `it needs ${mib(needed)}`);
      undo.push(`remove ${file}`, () => rm(file, { force: true }));
      await (await open(file, 'w', 0o600)).close();
      await qemuImg(['create', '-q', '-f', disk.format, file, `${sizeBytes}`], this.signal);
      await sync(file);
    } catch (error) {
      throw await asSealift(error, what, disk.pool, this.pools);
    }
  }

  async #fill({ pool, image, format, clone, sizeMiB }: PoolDisk, file: string, facts: DiskFacts | undefined): Promise<void> {
    const size = sizeMiB === undefined ? [] : [`${sizeMiB}M`];
    if (image === undefined) return qemuImg(['create', '-q', '-f', format, file, ...size], this.signal);
    if (clone) {
      await this.imageFacts(pool, image); // it may have gone while this waited for its turn
      // Relative to the disk's own directory, so that a pool can be mounted elsewhere.
      return qemuImg(['create', '-q', '-f', 'qcow2', '-F', formatOf(image), '-b', `images/${image}`, file, ...size], this.signal);
    }
    await qemuImg(['convert', '-q', '-f', formatOf(image), '-O', format, this.pools.image(pool, image), file], this.signal);
    if (sizeMiB !== undefined && sizeMiB * MiB !== facts?.sizeBytes)
      await qemuImg(['resize', '-q', '-f', format, file, ...size], this.signal);
  }

  /** What is about to be written must fit; of a raw disk all that it can ever hold, for it is meant to be filled. */
  async #requireRoom(what: string, { pool, format, image, clone, sizeMiB }: PoolDisk, facts: DiskFacts | undefined): Promise<void> {
    const size = sizeMiB === undefined ? (facts?.sizeBytes ?? 0) : sizeMiB * MiB;
    if (facts && size < facts.sizeBytes) {
      throw new SealiftError('invalid_request', `${what} cannot have ${mib(size)}: its image ${image} has ${mib(facts.sizeBytes)}`);
    }
    const needed = format === 'raw' ? size : facts && !clone ? facts.allocatedBytes + emptyBytes : emptyBytes;
    const { available } = await this.pools.space(pool);
    if (needed > available) throw await noRoom(what, pool, this.pools, `it needs ${mib(needed)}`);
  }

  async #place(vm: string, disk: PoolDisk, undo: Undo): Promise<void> {
    await this.#requireFree(vm, disk);
    const file = this.pools.disk(vm, disk);
    await rename(this.pools.partialDisk(vm, disk), file);
    undo.push(`remove ${file}`, () => rm(file, { force: true }));
    await sync(dirname(file));
  }
}

/** Of a file or a directory: what was written is there after a power failure. */
async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
