/**
 * Which host a VM should go to, and why. Hard constraints filter: a host of which one check fails is no candidate. Those that are left are scored,
 * lower is better, with the VM counted as if it were there; equal scores go by name, so that the same snapshot always gives the same plan.
 */
import type { Candidate, HostLoad } from '@sealift/contract';
import { type Judged, type Question, shown } from './checks/check.ts';
import { chooseSuite, type SuiteChoice } from './checks/encryption.ts';
import { isEligible, judge } from './checks/index.ts';
import { brokenRules } from './checks/rules.ts';
import { cpusOf, memoryOf } from './demand.ts';
import type { WorldHost } from './world.ts';

/** A host that would do. */
export interface Choice {
  readonly host: WorldHost;
  readonly suite: SuiteChoice;
  readonly score: number;
  readonly load: HostLoad;
  readonly softRules: number;
}

export interface Considered {
  readonly host: WorldHost;
  readonly judged: readonly Judged[];
  /** Missing where it will not do. */
  readonly choice?: Choice;
}

/** What the questions about all hosts have in common. */
export type Quest = Omit<Question, 'target'>;

// What is said loudly is avoided first; a rule that may be broken weighs more than any load; a migration more, less than a tenth of a host.
const weights = { clear: 10_000, softRule: 1000, fullest: 50, cpu: 20, memory: 20, link: 10, migration: 3, waits: 10 } as const;

/** @returns undefined where a check fails */
export function choiceOf(quest: Quest, host: WorldHost): Choice | undefined {
  const question = { ...quest, target: host };
  return isEligible(question) ? scored(question) : undefined;
}

function scored(question: Question): Choice | undefined {
  const { vm, source, target, clear, world } = question;
  if (!source.report || !target.report) return undefined;
  const suite = chooseSuite(vm, clear, [source.report, target.report]);
  if ('verdict' in suite) return undefined;
  const load = target.load(cpusOf(vm), memoryOf(vm));
  const softRules = brokenRules(question).length;
  const { perHost } = world.limitsOf(target.cluster);
  const score =
    (suite.fallback ? weights.clear : 0) +
    softRules * weights.softRule +
    Math.max(load.cpu, load.memory) * weights.fullest +
    load.cpu * weights.cpu +
    load.memory * weights.memory +
    load.link * weights.link +
    target.migrations * weights.migration +
    (target.migrations >= perHost(target.name) ? weights.waits : 0);
  return { host: target, suite, softRules, load, score: Math.round(score * 1000) / 1000 };
}

/** Every host, the best first, then those that will not do, by name. */
export function consider(quest: Quest, hosts: readonly WorldHost[]): Considered[] {
  const all = hosts.map((host): Considered => {
    const question = { ...quest, target: host };
    const judged = judge(question);
    const choice = judged.some(({ verdict }) => verdict === 'fail') ? undefined : scored(question);
    return { host, judged, ...(choice && { choice }) };
  });
  return all.sort((a, b) => (a.choice && b.choice ? better(a.choice, b.choice) : Number(!a.choice) - Number(!b.choice) || byHost(a, b)));
}

/** The best first. */
export const choicesOf = (quest: Quest, hosts: readonly WorldHost[]): Choice[] =>
  hosts.flatMap((host) => choiceOf(quest, host) ?? []).sort(better);

const better = (a: Choice, b: Choice): number => a.score - b.score || byHost(a, b);
const byHost = (a: { readonly host: WorldHost }, b: { readonly host: WorldHost }): number => (a.host.name < b.host.name ? -1 : 1);

/** Where a VM may go of itself: the other hosts of its cluster. */
export const neighboursOf = ({ world, source }: Quest): WorldHost[] => world.hostsOf(source.cluster).filter((host) => host !== source);

/** As the API shows it. @param every also the checks that do not stand in the way */
export const toCandidate = ({ host, judged, choice }: Considered, every = true): Candidate => ({
  host: host.name,
  eligible: choice !== undefined,
  checks: judged.filter(({ verdict }) => every || verdict === 'fail').map(shown),
  ...(choice && { score: choice.score, load: choice.load }),
});

/** Why the best of these was chosen, in words. */
export function whyChosen(choices: readonly Choice[], considered: number): string {
  const [best, next] = choices;
  if (!best) throw new Error('why was asked of no choice');
  const with_ = `with it, cpu ${percent(best.load.cpu)}, memory ${percent(best.load.memory)}`;
  const notes = [
    ...(best.suite.fallback ? ['no host that would do can seal'] : []),
    ...(best.softRules > 0 ? [`it breaks ${best.softRules} rule${best.softRules > 1 ? 's' : ''} that may be broken`] : []),
  ];
  const noted = notes.length > 0 ? `. But ${notes.join(', and ')}` : '';
  if (!next) return `host ${best.host.name} is the only one of ${considered} that will do: ${with_}${noted}`;
  const others = `next is host ${next.host.name} (score ${next.score})`;
  return `host ${best.host.name} is the best of ${choices.length} that will do, score ${best.score}: ${with_}; ${others}${noted}`;
}

/** Why no host will do, in words: what each fails by. */
export function whyNone(vm: string, considered: readonly Considered[]): string {
  if (considered.length === 0) return `VM ${vm} has nowhere to go: its cluster has no other host`;
  const reasons = new Map<string, string[]>();
  for (const { host, judged } of considered) {
    const failed = judged.filter(({ verdict }) => verdict === 'fail');
    for (const { reason, remedy } of failed) {
      const said = `${reason}; ${remedy}`;
      reasons.set(said, [...(reasons.get(said) ?? []), host.name]);
    }
  }
  // What stands in the way at every host is the VM's own matter, and said once.
  const everywhere = [...reasons].filter(([, hosts]) => hosts.length === considered.length).map(([reason]) => reason);
  if (everywhere.length > 0) return `no host will do for VM ${vm}: ${everywhere.join('. ')}`;
  const firsts = considered.map(({ judged }) => judged.find(({ verdict }) => verdict === 'fail')?.reason ?? '');
  const said = firsts.slice(0, shownReasons).join('; ');
  const more = firsts.length > shownReasons ? `; and ${firsts.length - shownReasons} more` : '';
  return `none of ${considered.length} hosts will do for VM ${vm}: ${said}${more}`;
}

const shownReasons = 5;
const percent = (part: number): string => `${Math.round(part * 100)} %`;
