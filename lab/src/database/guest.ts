/** The database's guest as a VM of the lab, with both disks in a pool of its host. */
import type { VmDefinition } from '@sealift/contract';
import { until } from '../chaos/until.ts';
import type { ManagerClient } from '../lab/api.ts';
import { guestAddress } from '../topology/plan.ts';
import type { DatabaseImage } from './image.ts';
import type { Connection } from './programs.ts';
import type { DatabaseDisks } from './verify.ts';

export interface DatabaseGuest {
  readonly name: string;
  /** Its address counts from the lab's first guest. */
  readonly index: number;
  readonly pool: string;
  readonly format: 'raw' | 'qcow2';
  readonly memoryMiB?: number;
}

/** In the order of the image's disks: tables, then log. */
const diskNames = ['tables', 'log'] as const;
const answersWithinMs = 120_000;

/** @param client the network namespace of clients */
export const connectionTo = ({ index }: DatabaseGuest, client: string): Connection => ({
  host: guestAddress(index).replace(/\/.*/, ''),
  through: ['ip', 'netns', 'exec', client],
});

export const databaseDefinition = (image: DatabaseImage, { name, index, pool, format, memoryMiB = 256 }: DatabaseGuest): VmDefinition => ({
  name,
  memoryMiB,
  vcpus: 1,
  cpuModel: 'qemu64',
  machine: 'pc-q35-7.2',
  kernelBoot: {
    kernel: image.kernel,
    initrd: image.initrd,
    // As boot.ts has it for the other guest: booting is slow under emulation, and a panic is to be the end of the log.
    cmdline: `console=ttyS0 mitigations=off rcupdate.rcu_expedited=1 random.trust_cpu=on sealift.ip=${guestAddress(index)}`,
  },
  disks: diskNames.map((disk) => ({ pool, name: disk, image: `${disk}.raw`, format, shared: false })),
  nics: [{ bridge: 'br0', mac: `52:54:00:5e:a1:${(index + 1).toString(16).padStart(2, '0')}` }],
  encryption: 'opportunistic',
});

/** So that disks of guests can be made on a host. To be done once for each pool. @throws SealiftError */
export const importDatabase = async (
  manager: ManagerClient,
  image: DatabaseImage,
  host: string,
  pool: string,
  signal: AbortSignal,
): Promise<void> => {
  for (const [index, name] of diskNames.entries()) {
    const body = { pool, name: `${name}.raw`, path: image.disks[index] ?? '' }; // as many
    await manager.importImage({ params: { host }, body }, signal);
  }
};

/** Defines and starts it, from disks of its own. Resolves when it answers. @returns after how many ms. @throws SealiftError; Error where it does not answer */
export const bootDatabase = async (
  manager: ManagerClient,
  image: DatabaseImage,
  guest: DatabaseGuest,
  { host, client, signal }: { readonly host: string; readonly client: string; readonly signal: AbortSignal },
): Promise<number> => {
  await manager.createVm({ body: { host, definition: databaseDefinition(image, guest) } }, signal);
  const begun = performance.now();
  await manager.startVm({ params: { vm: guest.name } }, signal);
  const connection = connectionTo(guest, client);
  const answers = () => image.programs.query('select 1;', connection).catch(() => undefined);
  if (!(await until(answers, { withinMs: answersWithinMs, everyMs: 250, signal }))) {
    throw new Error(`the database of VM ${guest.name} does not answer at ${connection.host}`);
  }
  return performance.now() - begun;
};

/** Where they are now; for {@link diskProblems}. @throws SealiftError */
export const disksOf = async (manager: ManagerClient, { name, format }: DatabaseGuest, signal: AbortSignal): Promise<DatabaseDisks> => {
  const { disks = [] } = await manager.getVm({ params: { vm: name } }, signal);
  const [tables, log] = disks.map(({ path }) => ({ path, format }));
  if (!tables || !log) throw new Error(`the host of VM ${name} says nothing of its disks`);
  return [tables, log];
};
