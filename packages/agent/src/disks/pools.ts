/** The pools of this host: directories for disks, with images in `images/`. What is in them is named here and nowhere else. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { type PoolDisk, SealiftError } from '@sealift/contract';

export interface PoolSetup {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
}

/** Something that will be a disk or an image has this in front of its name, and the name of the host that makes it. */
const partial = '.partial-';

export class Pools {
  readonly host: string;
  readonly all: readonly PoolSetup[];

  /** @param host a DNS label, like names of VMs, disks and pools: none of them has a dot or a slash in it, so that no two files have one name */
  constructor(host: string, all: readonly PoolSetup[]) {
    this.host = host;
    this.all = all;
  }

  lacks(pool: string): boolean {
    return !this.all.some(({ name }) => name === pool);
  }

  /** @throws SealiftError `no_room` naming the pools that there are */
  directory(pool: string): string {
    const found = this.all.find(({ name }) => name === pool);
    if (found) return found.path;
    const there = this.all.map(({ name }) => name).join(', ') || 'none';
    const message = `host ${this.host} has no pool ${pool}; it has ${there}. Its agent gets one by --pool ${pool}=DIRECTORY`;
    throw new SealiftError('no_room', message, { details: { pool } });
  }

  disk(vm: string, disk: PoolDisk): string {
    return join(this.directory(disk.pool), `${vm}.${disk.name}.${disk.format}`);
  }

  partialDisk(vm: string, disk: PoolDisk): string {
    return join(this.directory(disk.pool), `${this.#prefix}${vm}.${disk.name}.${disk.format}`);
  }

  images(pool: string): string {
    return join(this.directory(pool), 'images');
  }

  image(pool: string, image: string): string {
    return join(this.images(pool), image);
  }

  partialImage(pool: string, image: string): string {
    return join(this.images(pool), `${this.#prefix}${image}`);
  }

  /** Bytes of the file system that the pool is on. `available` is what is left for those who are not root's reserve. */
  async space(pool: string): Promise<{ readonly total: number; readonly available: number }> {
    const { bsize, blocks, bavail } = await statfs(this.directory(pool));
    return { total: blocks * bsize, available: bavail * bsize };
  }

  /**
   * At the agent's start: gives the disks of VMs that are on record their names, where the agent ended between recording and naming them; then
   * removes what this host's agent had only half made. Nothing else is touched, whoever made it.
   * @param vms the VMs of this host with their disks in pools
   * @returns the files that were removed
   */
  async recover(vms: readonly { readonly name: string; readonly disks: readonly PoolDisk[] }[]): Promise<string[]> {
    for (const { name, disks } of vms) {
      for (const disk of disks.filter(({ pool }) => !this.lacks(pool))) {
        if (!existsSync(this.disk(name, disk))) await rename(this.partialDisk(name, disk), this.disk(name, disk)).catch(unlessMissing);
      }
    }
    const removed: string[] = [];
    for (const { name, path } of this.all) {
      await mkdir(this.images(name), { recursive: true, mode: 0o700 });
      for (const directory of [path, this.images(name)]) {
        for (const file of (await filesIn(directory)).filter((each) => each.startsWith(this.#prefix))) {
          await rm(join(directory, file));
          removed.push(join(directory, file));
        }
      }
    }
    return removed;
  }

  get #prefix(): string {
    return `${partial}${this.host}.`;
  }
}

/** Names of what is no directory. */
export async function filesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

export function unlessMissing(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
}
