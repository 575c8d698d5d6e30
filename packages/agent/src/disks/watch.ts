/** What pools and disks have and take: looked at every few seconds, so that a report waits for no file system. */
import type { DiskUse, Pool } from '@sealift/contract';
import type { Vm } from '../vms/vm.ts';
import type { Disks } from './disks.ts';
import { readFacts } from './qcow2.ts';

export class DiskWatch {
  readonly #disks: Disks;
  readonly #vms: () => readonly Vm[];
  #seen = new WeakMap<Vm, { readonly of: unknown; readonly use: DiskUse[] }>();
  readonly #pools = new Map<string, Pool>();
  /** File systems may hang; who waits for one is not asked again. */
  readonly #asking = new Set<Vm | string>();

  constructor(disks: Disks, vms: () => readonly Vm[]) {
    this.#disks = disks;
    this.#vms = vms;
  }

  /** Those that have answered. */
  get pools(): Pool[] {
    return this.#disks.pools.all.flatMap(({ name }) => this.#pools.get(name) ?? []);
  }

  /** Nothing where it is not known, as of a definition that has just changed. */
  of(vm: Vm): { disks?: DiskUse[] } {
    const seen = this.#seen.get(vm);
    return seen && seen.of === vm.definition && seen.use.length > 0 ? { disks: seen.use } : {};
  }

  /** Resolves when every file system that answers has. Never rejects. */
  async look(): Promise<void> {
    const pools = this.#disks.pools.all.map(({ name, path }) =>
      this.#once(name, async () => {
        this.#pools.set(name, { name, path, ...(await this.#disks.pools.space(name)) });
      }).catch(() => this.#pools.delete(name)),
    );
    const vms = this.#vms().map((vm) => this.#once(vm, () => this.lookAt(vm)).catch(() => this.#seen.delete(vm)));
    await Promise.all([...pools, ...vms]);
  }

  /** Looks at one VM's disks now. @throws SealiftError `no_room` where this host lacks a pool of it */
  async lookAt(vm: Vm): Promise<void> {
    const { definition } = vm;
    const files = this.#disks.files(vm.name, definition.disks);
    const use = await Promise.all(
      definition.disks.map(async ({ format }, index): Promise<DiskUse> => {
        const path = files[index] ?? ''; // one for each disk
        const facts = await readFacts(path, format).catch(() => undefined);
        return { path, ...(facts && { sizeBytes: facts.sizeBytes, allocatedBytes: facts.allocatedBytes }) };
      }),
    );
    this.#seen.set(vm, { of: definition, use });
  }

  async #once(what: Vm | string, act: () => Promise<void>): Promise<void> {
    if (this.#asking.has(what)) return;
    this.#asking.add(what);
    try {
      await act();
    } finally {
      this.#asking.delete(what);
    }
  }
}
