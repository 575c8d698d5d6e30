/** What `sealift status` shows, from several answers of the manager. */
import type { Host, Migration, Task, Vm } from '@sealift/contract';
import type { Manager } from '../manager/connect.ts';
import { allPages, before, behind } from '../manager/pages.ts';

export interface Status {
  readonly version: string;
  readonly hosts: number;
  readonly vms: number;
  readonly migrating: number;
  /** `connected`, `unreachable`; `draining` and `maintenance` of those. */
  readonly hostsByState: Readonly<Record<string, number>>;
  readonly vmsByState: Readonly<Record<string, number>>;
  readonly migrations: readonly Migration[];
  readonly tasks: readonly Task[];
  /** Moved without encryption within the last day, the newest first. */
  readonly clear: readonly Migration[];
  /** In words, each with what it is about. */
  readonly problems: readonly string[];
}

const day = 86_400_000;

export async function gather(manager: Manager, now: number): Promise<Status> {
  const problems: string[] = [];
  const [status, hostsByState, vmsByState, migrations, tasks, clear] = await Promise.all([
    manager.status(),
    countHosts(manager, problems),
    countVms(manager, problems),
    manager.listMigrations({ query: { running: true } }),
    manager.listTasks({ query: { state: 'running' } }),
    clearSince(manager, now - day),
  ]);
  return { ...status, hostsByState, vmsByState, migrations, tasks, clear, problems: problems.sort() };
}

const count = (counts: Record<string, number>, state: string): void => {
  counts[state] = (counts[state] ?? 0) + 1;
};

async function countHosts(manager: Manager, problems: string[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for await (const host of allPages<Host>((limit, last) => manager.listHosts({ query: { limit, ...behind(last) } }))) {
    const { name, state, maintenance, problem, report, unknownVms = [] } = host;
    count(counts, state);
    if (maintenance !== 'none') count(counts, maintenance);
    if (state === 'unreachable') problems.push(`host ${name} does not answer: ${problem ?? 'no reason is known'}`);
    if (report?.canSeal === false) problems.push(`host ${name} CANNOT SEAL: ${report.cannotSealBecause ?? 'its agent does not say why'}`);
    if (report?.unsafe?.length) problems.push(`host ${name} is UNSAFE: ${report.unsafe.join('; ')}`);
    if (unknownVms.length > 0) problems.push(`host ${name} has VMs that the manager does not know: ${unknownVms.join(', ')}`);
  }
  return counts;
}

async function countVms(manager: Manager, problems: string[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for await (const vm of allPages<Vm>((limit, last) => manager.listVms({ query: { limit, ...behind(last) } }))) {
    count(counts, vm.state);
    if (vm.problem !== undefined) problems.push(`VM ${vm.name}: ${vm.problem}`);
    else if (vm.state === 'crashed' || vm.state === 'in-doubt') problems.push(`VM ${vm.name} is ${vm.state} on ${vm.host}`);
  }
  return counts;
}

async function clearSince(manager: Manager, since: number): Promise<Migration[]> {
  const clear: Migration[] = [];
  const all = allPages<Migration>(
    (limit, last) => manager.listMigrations({ query: { limit, ...before(last) } }),
    ({ orderedAt }) => orderedAt < since,
  );
  for await (const migration of all) if (migration.suite === 'none' && migration.endedAt !== undefined) clear.push(migration);
  return clear;
}
