/** Images: files in `images/` of a pool that disks are made from. Whoever looks after the host may put them there, or have them imported. */
import { open, rename, rm, stat } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { type Image, type ImageImport, ImageName, isPoolDisk, SealiftError, type VmDefinition } from '@sealift/contract';
import { Check } from 'typebox/value';
import { reasonOf } from '../cannot-start.ts';
import { Undo, type UndoLog } from '../undo.ts';
import type { Disks } from './disks.ts';
import { filesIn, unlessMissing } from './pools.ts';
import { formatOf, readFacts } from './qcow2.ts';
import { asSealift, mib, noRoom, qemuImg } from './qemu-img.ts';

export class Images {
  readonly #disks: Disks;
  readonly #definitions: () => readonly VmDefinition[];
  readonly #log: UndoLog;
  /** Files that are being made: two imports would write to the same. */
  readonly #importing = new Set<string>();

  /** @param definitions of the VMs of this host */
  constructor(disks: Disks, definitions: () => readonly VmDefinition[], log: UndoLog) {
    this.#disks = disks;
    this.#definitions = definitions;
    this.#log = log;
  }

  /** By pool and name. What is in `images/` and cannot be one (a name that no definition can have, a qcow2 file that is none) is left out. */
  async list(): Promise<Image[]> {
    const all: Image[] = [];
    for (const { name: pool } of this.#disks.pools.all) {
      const users = await this.#users(pool);
      const names = (await filesIn(this.#disks.pools.images(pool))).filter((name) => Check(ImageName, name)).sort();
      for (const name of names) {
        const facts = await this.#disks.imageFacts(pool, name).catch(() => undefined);
        if (!facts) continue;
        const { sizeBytes, allocatedBytes } = facts;
        const usedBy = users.get(this.#disks.pools.image(pool, name)) ?? [];
        all.push({ pool, name, format: formatOf(name), sizeBytes, allocatedBytes, usedBy });
      }
    }
    return all;
  }

  /** Copies a file of this host, with all that it lies over. @throws SealiftError `not_found`, `already_exists`, `no_room`, `hypervisor`; nothing is left then */
  async import(wanted: ImageImport): Promise<Image> {
    const { pool, name } = wanted;
    const { pools } = this.#disks;
    const file = pools.image(pool, name);
    if (this.#importing.has(file)) {
      throw new SealiftError('already_exists', `image ${name} in pool ${pool} of host ${pools.host} is being imported; wait for it`);
    }
    this.#importing.add(file);
    try {
      await this.#import(wanted, file);
    } finally {
      this.#importing.delete(file);
    }
    const { sizeBytes, allocatedBytes } = await this.#disks.imageFacts(pool, name);
    return { pool, name, format: formatOf(name), sizeBytes, allocatedBytes, usedBy: [] };
  }

  async #import({ pool, name, path, format = formatOf(path) }: ImageImport, file: string): Promise<void> {
    const { pools, signal } = this.#disks;
    const partial = pools.partialImage(pool, name);
    await this.#requireFree(pool, name);
    const source = await stat(path).catch(unlessMissing);
    if (!source?.isFile()) throw new SealiftError('not_found', `there is no file ${path} on host ${pools.host} to import`);
    await Undo.around(this.#log, async (undo) => {
      try {
        const needed = source.blocks * 512;
        if (needed > (await pools.space(pool)).available) throw await noRoom(`image ${name}`, pool, pools, `it needs ${mib(needed)}`);
        undo.push(`remove ${partial}`, () => rm(partial, { force: true }));
        await (await open(partial, 'w', 0o600)).close();
        await qemuImg(['convert', '-q', '-f', format, '-O', formatOf(name), path, partial], signal);
        const handle = await open(partial, 'r');
        await handle.sync().finally(() => handle.close());
        await this.#requireFree(pool, name);
        await rename(partial, file);
      } catch (error) {
        throw await asSealift(error, `image ${name}`, pool, pools);
      }
    });
  }

  /** @throws SealiftError `not_found`; `wrong_state` naming what would be lost with it */
  remove(pool: string, name: string): Promise<void> {
    return this.#disks.imageTurns.take(async () => {
      const { pools } = this.#disks;
      const file = pools.image(pool, name);
      if (!(await stat(file).catch(unlessMissing))) {
        throw new SealiftError('not_found', `pool ${pool} of host ${pools.host} has no image ${name}; see sealift image ls`);
      }
      const users = (await this.#users(pool)).get(file) ?? [];
      if (users.length > 0) {
        const message = `image ${name} in pool ${pool} of host ${pools.host} is in use: ${users.join(', ')} would be lost with it. Remove the VMs that they belong to first`;
        throw new SealiftError('wrong_state', message, { details: { usedBy: users } });
      }
      await rm(file);
    });
  }

  async #requireFree(pool: string, name: string): Promise<void> {
    const { pools } = this.#disks;
    if (!(await stat(pools.image(pool, name)).catch(unlessMissing))) return;
    throw new SealiftError(
      'already_exists',
      `pool ${pool} of host ${pools.host} has an image ${name} already; take another name, or remove it`,
    );
  }

  /**
   * Of each image the files that need it: in the pool whoever made them, half-made ones as well, and what VMs of this host have by its path.
   * @throws SealiftError `hypervisor` where the pool cannot be read
   */
  async #users(pool: string): Promise<Map<string, string[]>> {
    const { pools } = this.#disks;
    const images = pools.images(pool);
    const inPool: string[] = [];
    for (const each of [pools.directory(pool), images]) {
      const names = await filesIn(each).catch((cause) => {
        const message = `pool ${pool} of host ${pools.host} cannot be read: ${reasonOf(cause)}; mount it, or start the agent without it`;
        throw new SealiftError('hypervisor', message, { cause });
      });
      inPool.push(...names.map((name) => join(each, name)));
    }
    const byPath = this.#definitions().flatMap(({ disks }) => disks.filter((disk) => !isPoolDisk(disk)));
    const qcow2 = new Set(inPool.filter((file) => formatOf(file) === 'qcow2'));
    const users = new Map<string, string[]>();
    const add = (image: string, user: string): unknown => users.set(image, [...(users.get(image) ?? []), user]);
    for (const { path, format } of byPath) {
      const file = normalize(path);
      if (file.startsWith(`${images}/`)) add(file, path);
      if (format === 'qcow2') qcow2.add(file);
    }
    for (const file of qcow2) {
      // What cannot be read lies over nothing that could be known.
      const backing = (await readFacts(file, 'qcow2').catch(() => undefined))?.backing;
      if (backing !== undefined) add(backing, file);
    }
    return users;
  }
}
