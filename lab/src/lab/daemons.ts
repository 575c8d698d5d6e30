/** Starts the manager and the agents of a lab, each in its namespace, as an administrator would: by the sealift command. */
import { readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { hostDnsName, type Identity, managerDnsName } from '../certificates.ts';
import { isAlive, type ProcessId, startDetached } from '../system/process.ts';
import type { Host, Plan } from '../topology/plan.ts';
import type { LabPaths } from './paths.ts';
import { recordProcess } from './record.ts';

const sealift = fileURLToPath(new URL('../../../bin/sealift', import.meta.url));

/** To load the program and to serve: a second on an idle machine, many on a busy one. */
const readyWithinMs = 60_000;

export const startManager = (
  plan: Plan,
  paths: LabPaths,
  identities: ReadonlyMap<string, Identity>,
  signal: AbortSignal,
): Promise<ProcessId> =>
  startDaemon('manager', plan.manager.namespace, paths, signal, [
    'manager',
    ...['--state', paths.managerState],
    ...['--socket', paths.managerSocket],
    ...['--listen', '127.0.0.1:8650'],
    ...identityOptions(identities, managerDnsName),
  ]);

/**
 * @param breakpoints a directory in which files say at which stages migrations are held; without one, none is held
 * @param more of the agent's options
 */
export const startAgent = (
  host: Host,
  paths: LabPaths,
  identities: ReadonlyMap<string, Identity>,
  signal: AbortSignal,
  breakpoints?: string,
  more: readonly string[] = [],
): Promise<ProcessId> => {
  const args = [
    'agent',
    ...['--name', host.name],
    ...['--state', paths.agentState(host.name)],
    ...['--run', paths.agentRun(host.name)],
    ...['--listen', host.agentEndpoint],
    ...['--migration-listen', host.migrationEndpoint],
    ...identityOptions(identities, hostDnsName(host.name)),
    ...(breakpoints === undefined ? [] : ['--unsafe']),
    ...more,
  ];
  const env = breakpoints === undefined ? process.env : { ...process.env, SEALIFT_BREAKPOINTS: breakpoints };
  return startDaemon(host.name, host.namespace, paths, signal, args, env);
};

const identityOptions = (identities: ReadonlyMap<string, Identity>, name: string): readonly string[] => {
  const identity = identities.get(name);
  if (identity === undefined) throw new Error(`no certificate was made for ${name}`);
  return ['--cert', identity.certificate, '--key', identity.key, '--ca', identity.ca];
};

/** @throws Error with the end of its log when it ends, or does not serve in time */
const startDaemon = async (
  name: string,
  namespace: string,
  paths: LabPaths,
  signal: AbortSignal,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<ProcessId> => {
  const log = paths.log(name);
  // What one before it said is in the same file.
  const from = (await stat(log).catch(() => undefined))?.size ?? 0;
  const id = await startDetached('ip', ['netns', 'exec', namespace, sealift, ...args], log, env);
  await recordProcess(paths.processes, { name, ...id });
  await untilReady(name, id, log, from, signal);
  return id;
};

const untilReady = async (name: string, id: ProcessId, log: string, from: number, signal: AbortSignal): Promise<void> => {
  const end = performance.now() + readyWithinMs;
  for (;;) {
    // Looked at before the log, so that what it said last is in the log.
    const alive = isAlive(id);
    const text = (await readFile(log)).subarray(from).toString();
    if (text.includes('"msg":"ready"')) return;
    if (!alive) throw new Error(`${name} did not start; it said:\n${lastLines(text)}`);
    if (performance.now() > end) throw new Error(`${name} is not ready after ${readyWithinMs / 1000} s; it said:\n${lastLines(text)}`);
    await sleep(50, undefined, { signal });
  }
};

const lastLines = (text: string): string => text.trimEnd().split('\n').slice(-5).join('\n');
