/** Where a lab keeps its things, derived from its id alone. */
import { join } from 'node:path';
import { SealiftError } from '@sealift/contract';
import { namespaceOf } from '../topology/plan.ts';

export interface LabPaths {
  /** What lives as long as the lab runs: sockets, process ids. */
  readonly run: string;
  /** What outlives a restart of its daemons. */
  readonly state: string;
  readonly logs: string;
  readonly certificates: string;
  readonly captures: string;
  readonly managerSocket: string;
  readonly managerState: string;
  /** The processes that the lab has started. */
  readonly processes: string;
  readonly agentRun: (host: string) => string;
  readonly agentState: (host: string) => string;
  readonly log: (daemon: string) => string;
}

export const pathsOf = (id: string): LabPaths => {
  const run = join('/run/sealift-lab', id);
  const state = join('/var/lib/sealift-lab', id);
  const logs = join(state, 'logs');
  return {
    run,
    state,
    logs,
    certificates: join(state, 'certificates'),
    captures: join(state, 'captures'),
    managerSocket: join(run, 'manager.sock'),
    managerState: join(state, 'manager'),
    processes: join(run, 'processes.jsonl'),
    // Short, as an agent wants it: a VM's sockets below it have to fit into 107 bytes.
    agentRun: (host) => join('/run', namespaceOf(id, host)),
    agentState: (host) => join(state, host),
    log: (daemon) => join(logs, `${daemon}.log`),
  };
};

/** Short, because names of interfaces' namespaces and sockets are made of it. @throws SealiftError `invalid_request` for what cannot be one */
export const checkId = (id: string): string => {
  if (/^[a-z0-9]{1,10}$/.test(id)) return id;
  throw new SealiftError('invalid_request', `a lab's id is 1 to 10 lower-case letters and digits, not "${id}"`);
};
