/**
 * Where a VM was found, against where the manager has it. Pure. What does not fit is put in words, and nothing is done about it: which of two
 * copies is the VM, or whether one that is not found is gone, is not for a program to guess.
 */
import type { Keep, Migration, Sighting, VmState } from '@sealift/contract';
import type { StoredVm } from '../store/store.ts';

export interface Knowledge {
  readonly vm: Pick<StoredVm, 'name' | 'host'>;
  /** The migration that is moving it. */
  readonly migration: Pick<Migration, 'id' | 'from' | 'to' | 'phase'> | undefined;
  /** Where hosts that answer have it, by their names. */
  readonly found: readonly Sighting[];
  /** Hosts that do not answer, by name. */
  readonly silent: ReadonlySet<string>;
  readonly answers: (host: string) => boolean;
  /** An administrator's decisions about it that these hosts have not followed. */
  readonly untold: readonly { readonly host: string; readonly keep: Keep; readonly migration: string }[];
}

export interface Finding {
  readonly state: VmState;
  readonly found: Sighting[];
  readonly problem?: string;
  /** Hosts whose reports the problem rests on: it may have passed since they were asked. */
  readonly restsOn: readonly string[];
}

export function sight(knowledge: Knowledge): Finding {
  const { vm, found, migration, answers } = knowledge;
  const state = found.find(({ host }) => host === vm.host)?.state ?? 'unknown';
  const problem = problemOf(knowledge);
  const parties = migration ? [migration.from, migration.to] : [];
  const restsOn = new Set([vm.host, ...parties, ...found.map(({ host }) => host)].filter(answers));
  return { state, found: [...found], ...(problem !== undefined && { problem }), restsOn: [...restsOn] };
}

/** Copies on other hosts than the VM's own which run, or could. */
export const liveElsewhere = (found: readonly Sighting[], host: string): Sighting[] =>
  found.filter((each) => each.host !== host && each.state !== 'stopped' && each.state !== 'crashed');

function problemOf({ vm, migration, found, silent, untold }: Knowledge): string | undefined {
  const { name } = vm;
  const decision = untold[0];
  if (decision) return waits(vm, decision, silent.has(decision.host), found);
  if (migration) return whileMoving(name, migration, silent, found);

  const [here, elsewhere] = [found.find(({ host }) => host === vm.host), found.filter(({ host }) => host !== vm.host)];
  const others = listed(elsewhere);
  if (silent.has(vm.host)) {
    const where = `host ${vm.host}, where the manager has VM ${name}, does not answer: whether it runs there is not known`;
    if (elsewhere.length === 0)
      return `${where}. No host that answers has it. Bring host ${vm.host} back before anything else is done with it`;
    return `${where}; and it was found on ${others}, where it should not be. ${leave} Bring host ${vm.host} back, then remove the copy that is not the VM`;
  }
  if (!here) {
    const where = `host ${vm.host}, where the manager has VM ${name}, does not have it`;
    if (elsewhere.length > 0) return `${where}; it was found on ${others}. ${leave} Look at it there before anything is started`;
    const rest = silent.size > 0 ? `It may be on a host that does not answer: ${[...silent].join(', ')}` : `No host has it`;
    return `${where}. ${rest}. Where it is gone for good: sealift vm rm ${name} (its disks stay)`;
  }
  if (elsewhere.length > 0) {
    const each = listed(found);
    return `VM ${name} was found on more than one host, and no migration explains it: ${each}. ${leave} Only one may run: decide which is the VM, and end the other at its host`;
  }
  if (here.state === 'in-doubt' || here.state === 'moving-in' || here.state === 'moving-out') {
    return `host ${vm.host} says that VM ${name} is ${here.state}, and the manager knows no migration that has not ended. ${leave} See the log of that host's agent`;
  }
  return undefined;
}

const leave = 'Nothing is done about it by itself.';

const listed = (found: readonly Sighting[]): string => found.map(({ host, state }) => `host ${host} (${state})`).join(' and ');

function waits(
  vm: Knowledge['vm'],
  { host, keep, migration }: Knowledge['untold'][number],
  silent: boolean,
  found: readonly Sighting[],
): string {
  const decided = `an administrator decided migration ${migration} for the ${keep}'s copy of VM ${vm.name}`;
  const there = found.find((each) => each.host === host);
  if (!silent)
    return `${decided}, and host ${host}, which has ${there ? `it (${there.state})` : 'no copy'}, has not followed yet; see its agent's log`;
  const told = 'It is told as soon as it answers';
  if (host === vm.host) return `${decided}, and host ${host}, whose copy that is, does not answer: whether it has it is not known. ${told}`;
  return `${decided}, and host ${host} does not answer: until it has heard of it, its copy may run as well. ${told}`;
}

function whileMoving(
  name: string,
  { id, from, to, phase }: NonNullable<Knowledge['migration']>,
  silent: ReadonlySet<string>,
  found: readonly Sighting[],
): string | undefined {
  const strange = found.filter(({ host }) => host !== from && host !== to);
  if (strange.length > 0) {
    return `VM ${name} is moving from host ${from} to host ${to} (migration ${id}), and was also found on ${listed(strange)}. ${leave} Look at it there`;
  }
  const parties = [from, to].filter((host) => silent.has(host));
  const away = parties.length > 0 ? ` Silent: ${parties.join(', ')}.` : '';
  if (phase === 'in-doubt') {
    const seen = found.length > 0 ? ` Found on ${listed(found)}.` : '';
    const end = `It is settled as soon as both hosts answer; where one is gone for good: sealift migration resolve ${id} --keep source|destination`;
    return `VM ${name} is in doubt between host ${from} and host ${to} (migration ${id}).${seen}${away} ${end}`;
  }
  if (found.length === 0)
    return `VM ${name} is moving from host ${from} to host ${to} (migration ${id}), and no host that answers has it.${away}`;
  return undefined;
}
