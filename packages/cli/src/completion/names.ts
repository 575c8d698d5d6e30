/** Names of things, asked from the manager. Completion never complains: where there is no answer, or none in time, there are no names. */
import { findManager } from '../manager/address.ts';
import { connect, type Manager } from '../manager/connect.ts';
import type { Kind, Names, Suggestion } from './complete.ts';

/** A person waits for each of them. */
const patienceMs = 2000;
/** More cannot be read anyway. */
const limit = 200;

/** @param words of the command line, which may name the manager */
export function namesFromManager(words: readonly string[]): Names {
  return async (kind, prefix) => {
    try {
      await using manager = await connect(findManager(managerOption(words), process.env['SEALIFT_MANAGER']));
      return await lists[kind](manager, prefix, AbortSignal.timeout(patienceMs));
    } catch {
      return [];
    }
  };
}

function managerOption(words: readonly string[]): string | undefined {
  const at = words.findLastIndex((word) => word === '--manager' || word.startsWith('--manager='));
  const word = words[at];
  if (word === undefined) return undefined;
  return word.includes('=') ? word.slice(word.indexOf('=') + 1) : words[at + 1];
}

type List = (manager: Manager, prefix: string, signal: AbortSignal) => Promise<Suggestion[]>;

/** Lists by name go on behind a name: what begins with it, and it alone, if it is a whole name itself. */
const page = (prefix: string): { limit: number; after?: string } => {
  const after = prefix.replace(/-+$/, '');
  return after === '' ? { limit } : { limit, after };
};

const unless = (): undefined => undefined;

const lists: Readonly<Record<Kind, List>> = {
  vm: async (manager, prefix, signal) => {
    const exact = prefix === '' ? undefined : manager.getVm({ params: { vm: prefix } }, signal).catch(unless);
    const [it, vms] = await Promise.all([exact, manager.listVms({ query: page(prefix) }, signal)]);
    return [...(it ? [it] : []), ...vms].map(({ name, state, host }) => ({ value: name, about: `${state} on ${host}` }));
  },
  host: async (manager, prefix, signal) => {
    const exact = prefix === '' ? undefined : manager.getHost({ params: { host: prefix } }, signal).catch(unless);
    const [it, hosts] = await Promise.all([exact, manager.listHosts({ query: page(prefix) }, signal)]);
    return [...(it ? [it] : []), ...hosts].map(({ name, state, cluster }) => ({ value: name, about: `${state}, cluster ${cluster}` }));
  },
  cluster: async (manager, _prefix, signal) =>
    (await manager.listClusters({}, signal)).map(({ name, hosts }) => ({ value: name, about: `${hosts.length} hosts` })),
  rule: async (manager, _prefix, signal) =>
    (await manager.listRules({}, signal)).map(({ name, kind, vms }) => ({ value: name, about: `${vms.join(' ')} ${kind}` })),
  task: async (manager, _prefix, signal) =>
    (await manager.listTasks({ query: { limit } }, signal)).map(({ id, title, state }) => ({ value: id, about: `${title}: ${state}` })),
  migration: async (manager, _prefix, signal) =>
    (await manager.listMigrations({ query: { limit } }, signal)).map(({ id, vm, from, to, phase }) => ({
      value: id,
      about: `${vm} ${from} → ${to}: ${phase}`,
    })),
};
