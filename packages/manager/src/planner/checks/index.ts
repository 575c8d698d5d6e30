/** Every check of a migration, in the order in which they are shown; all are made, so that all can be put right at once. */
import type { CheckName } from '@sealift/contract';
import type { Judged, Question, Reported, Verdict } from './check.ts';
import { cpu } from './cpu.ts';
import { encryption } from './encryption.ts';
import { devices, disks } from './parts.ts';
import { accelerator, machineType, protocol, qemuVersion } from './qemu.ts';
import { memory, networks } from './room.ts';
import { rules } from './rules.ts';
import { concurrency, hostState, vmState } from './state.ts';

/** Undefined where it cannot be said: a host has never answered, and `host-state` fails for it. */
type CheckOf = (question: Question) => Verdict | undefined;

const reported =
  (check: (reports: Reported, question: Question) => Verdict): CheckOf =>
  (question) => {
    const [from, to] = [question.source.report, question.target.report];
    return from && to && check({ vm: question.vm.definition, from, to }, question);
  };

const checks: readonly (readonly [CheckName, CheckOf])[] = [
  ['vm-state', vmState],
  ['host-state', hostState],
  ['encryption', reported(({ from, to }, { vm, clear }) => encryption(vm, clear, [from, to]))],
  ['protocol', reported((reports) => protocol(reports))],
  ['qemu-version', reported((reports, { multifdChannels }) => qemuVersion(reports, multifdChannels))],
  ['machine-type', reported((reports) => machineType(reports))],
  ['accelerator', reported((reports) => accelerator(reports))],
  ['cpu', reported((reports, { world, target }) => cpu(reports, world.baselineOf(target)))],
  ['memory', reported(({ vm, to }, { target }) => memory(vm, to, target.free))],
  ['networks', reported(({ vm, to }) => networks(vm, to))],
  ['disks', ({ vm, target }) => disks(vm, target.name, target.report)],
  ['devices', ({ vm }) => devices(vm)],
  ['rules', rules],
  ['concurrency', concurrency],
];

export function judge(question: Question): Judged[] {
  return checks.flatMap(([name, check]) => {
    const verdict = check(question);
    return verdict ? [{ name, ...verdict }] : [];
  });
}

/** As {@link judge} would find, as soon as one fails. */
export const isEligible = (question: Question): boolean => checks.every(([, check]) => check(question)?.verdict !== 'fail');
