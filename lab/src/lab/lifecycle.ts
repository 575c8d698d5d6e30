/** Brings a lab up, and takes it down again whatever state it is in. */
import { cp, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SealiftError } from '@sealift/contract';
import { hostDnsName, type Identity, makeCertificates, managerDnsName } from '../certificates.ts';
import { commandOf, endProcesses, type ProcessId, processId } from '../system/process.ts';
import { buildTopology, presentNamespaces, removeTopology } from '../topology/build.ts';
import { type Plan, planOf } from '../topology/plan.ts';
import { managerClient } from './api.ts';
import { startAgent, startManager } from './daemons.ts';
import { type LabPaths, pathsOf } from './paths.ts';
import { recordedProcesses } from './record.ts';

const checkout = fileURLToPath(new URL('../../..', import.meta.url));

export interface Lab {
  readonly id: string;
  readonly plan: Plan;
  readonly paths: LabPaths;
}

export const labOf = (id: string, hosts?: readonly string[]): Lab => ({ id, plan: planOf(id, hosts), paths: pathsOf(id) });

/** @throws SealiftError `not_authorised` unless run by root */
export const requireRoot = (): void => {
  if (process.getuid?.() !== 0)
    throw new SealiftError('not_authorised', 'the lab needs root: it makes network namespaces, bridges and taps. Run it with sudo');
};

/** @throws SealiftError `already_exists` when any of it is there */
export const requireAbsent = async ({ id, plan }: Lab): Promise<void> => {
  const present = await presentNamespaces(plan);
  if (present.length === 0) return;
  throw new Error(
    `the lab "${id}" is there already, or was left half-way (${present.join(', ')}). Take it down: sealift lab down --id ${id}`,
  );
};

/**
 * Network, certificates, manager and agents, and both hosts known to the manager.
 * @param signal ends it between two steps
 * @param breakpoints makes agents that can be held, see startAgent
 * @param more options for the agent of a host
 * @returns the certificates, to start a daemon again with
 * @throws Error; what was made until then is left for {@link takeDown}
 */
export const bringUp = async (
  { plan, paths }: Lab,
  signal: AbortSignal,
  breakpoints?: (host: string) => string,
  more?: (host: string) => readonly string[],
): Promise<ReadonlyMap<string, Identity>> => {
  for (const folder of [paths.run, paths.logs, paths.captures]) await mkdir(folder, { recursive: true, mode: 0o700 });
  await buildTopology(plan);
  const identities = await makeCertificates(paths.certificates, [managerDnsName, ...plan.hosts.map(({ name }) => hostDnsName(name))]);
  signal.throwIfAborted();
  await Promise.all([
    startManager(plan, paths, identities, signal),
    ...plan.hosts.map((host) => startAgent(host, paths, identities, signal, breakpoints?.(host.name), more?.(host.name))),
  ]);
  await using manager = managerClient(paths.managerSocket);
  for (const { name, agentEndpoint } of plan.hosts) await manager.addHost({ body: { name, endpoint: agentEndpoint } }, signal);
  return identities;
};

/** Ends every process, removes every namespace and every file of a lab. Does nothing where nothing is. */
export const takeDown = async ({ plan, paths }: Lab): Promise<void> => {
  await endProcesses(await recordedProcesses(paths.processes));
  // Agents leave their QEMUs running when they end, on purpose.
  await endProcesses(await runningQemus(plan, paths), 0);
  await removeTopology(plan);
  for (const folder of [...plan.hosts.map(({ name }) => paths.agentRun(name)), paths.run, paths.state])
    await rm(folder, { recursive: true, force: true });
};

/** By the agents' pid files; a process id that is another program's by now is not among them. */
const runningQemus = async (plan: Plan, paths: LabPaths): Promise<readonly ProcessId[]> => {
  const found: ProcessId[] = [];
  for (const { name: host } of plan.hosts) {
    const folder = join(paths.agentRun(host), 'vms');
    for (const vm of await readdir(folder).catch(() => [])) {
      const text = await readFile(join(folder, vm, 'pid'), 'utf8').catch(() => '');
      const id = processId(Number.parseInt(text, 10));
      if (id && commandOf(id.pid)?.some((word) => word.includes(`${folder}/`))) found.push(id);
    }
  }
  return found;
};

/**
 * Copies the logs of the daemons and VMs to where they outlive the lab.
 * @returns the folder
 */
export const saveLogs = async ({ id, plan, paths }: Lab): Promise<string> => {
  const folder = join(checkout, '.cache', 'lab-logs', `${id}-${new Date().toISOString().replaceAll(':', '')}`);
  await mkdir(folder, { recursive: true });
  await cp(paths.logs, folder, { recursive: true }).catch(() => {}); // it may have failed before there were any
  for (const { name: host } of plan.hosts) {
    const vms = join(paths.agentState(host), 'vms');
    for (const vm of await readdir(vms).catch(() => [])) {
      for (const log of ['serial.log', 'qemu.log']) await cp(join(vms, vm, log), join(folder, `${host}-${vm}-${log}`)).catch(() => {});
    }
  }
  return folder;
};
