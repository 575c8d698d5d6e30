/** What one round of a drain comes to: what begins now, what waits, what stays, and whether that is all. Pure. */
import type { Candidate, DrainPlan, HostReport, Migration, Move } from '@sealift/contract';
import type { Slots } from '../moves/slots.ts';
import { nextAttemptAt, type Patience, type Tried } from './attempts.ts';

export interface Situation {
  readonly host: string;
  readonly report: HostReport;
  /** Names of the host's VMs that the manager knows. */
  readonly known: ReadonlySet<string>;
  readonly plan: DrainPlan;
  /** Every migration that has not ended. */
  readonly unfinished: readonly Migration[];
  /** How many of this drain's are among them. */
  readonly own: number;
  /** Of this drain, at once. */
  readonly concurrent: number;
  readonly tried: ReadonlyMap<string, Tried>;
  readonly patience: Patience;
  readonly slots: Slots;
  readonly now: number;
}

export interface Stays {
  readonly vm: string;
  readonly why: string;
}

export interface Round {
  /** Its slot is taken. With `elsewhere`, its destination was tried without success and another one is better. */
  readonly begin: readonly { readonly move: Move; readonly elsewhere: ReadonlySet<string> | undefined }[];
  /** What will pass by itself, in words. */
  readonly waiting: readonly string[];
  /** When the next attempt of a VM that waits is due. */
  readonly dueAt?: number;
  readonly stays: readonly Stays[];
  /** VMs that are here and run, those on their way out included. */
  readonly left: number;
  readonly over: boolean;
}

export function roundOf(situation: Situation): Round {
  const { host, report, known, plan, unfinished, tried, patience, now } = situation;
  const begin: { move: Move; elsewhere: ReadonlySet<string> | undefined }[] = [];
  const waiting: string[] = [];
  const due: number[] = [];
  const stays: Stays[] = [];
  const moving = new Set(unfinished.map(({ vm }) => vm));
  const here = report.vms.filter(({ state }) => state === 'running' || state === 'paused').map(({ definition }) => definition.name);

  for (const move of plan.moves.filter(({ vm }) => here.includes(vm) && !moving.has(vm))) {
    const before = tried.get(move.vm);
    const next = before ? nextAttemptAt(before, patience) : now;
    if (next === undefined) {
      stays.push({ vm: move.vm, why: `it was tried ${before?.count ?? 0} times, and the last time: ${before?.why ?? ''}` });
    } else if (next > now) {
      waiting.push(`VM ${move.vm} is tried again later`);
      due.push(next);
    } else if (situation.own + begin.length >= situation.concurrent) {
      waiting.push(`VM ${move.vm} waits: this drain has ${situation.concurrent} migrations at once`);
    } else {
      const full = situation.slots.take(move);
      if (full === undefined) begin.push({ move, elsewhere: before?.hosts.has(move.to) ? before.hosts : undefined });
      else waiting.push(`VM ${move.vm} waits: ${full}`);
    }
  }
  for (const { vm, why, candidates } of plan.stays.filter((each) => here.includes(each.vm) && !moving.has(each.vm))) {
    if (candidates.some(willDo)) waiting.push(`VM ${vm} waits: ${why}`);
    else stays.push({ vm, why });
  }
  // Its migration has ended since the host was asked: how it is now is for the next round.
  for (const { definition, state } of report.vms) {
    const passing = state === 'moving-out' || state === 'moving-in' || state === 'in-doubt';
    if (passing && !moving.has(definition.name)) waiting.push(`VM ${definition.name} has just been ${state}`);
  }
  const planned = new Set([...plan.moves, ...plan.stays].map(({ vm }) => vm));
  for (const vm of here.filter((name) => !planned.has(name) && !moving.has(name))) {
    if (known.has(vm)) waiting.push(`VM ${vm} has only just been seen`);
    else stays.push({ vm, why: immovableOf(report, vm) });
  }
  for (const { id, vm, from, to, phase } of unfinished) {
    if (from === host) waiting.push(`VM ${vm} is on its way to host ${to}${phase === 'in-doubt' ? `, in doubt (migration ${id})` : ''}`);
    if (to === host) waiting.push(`VM ${vm} is on its way here from host ${from}, and leaves again once it has arrived`);
  }
  return {
    begin,
    waiting,
    stays,
    left: here.length + unfinished.filter(({ from, vm }) => from === host && !here.includes(vm)).length,
    over: begin.length === 0 && waiting.length === 0,
    ...(due.length > 0 && { dueAt: Math.min(...due) }),
  };
}

/** Nothing stands in the way at this host but what passes by itself. */
export const willDo = ({ checks }: Candidate): boolean =>
  checks.some(({ verdict }) => verdict === 'wait') && checks.every(({ verdict }) => verdict !== 'fail');

function immovableOf({ vms }: HostReport, name: string): string {
  const vm = vms.find(({ definition }) => definition.name === name);
  const reasons = vm?.immovable?.join('; ');
  const seen = vm?.adopted ? 'its QEMU was not started by sealift' : 'the manager does not know it';
  return reasons ? `${seen}: ${reasons}` : `${seen}; end it at the host, or add it`;
}
