/** The plan of one migration. */
import { type MigrationOrder, type MigrationPlan, SealiftError } from '@sealift/contract';
import { toLimits, toMultifdChannels } from '../migrations/spec/limits.ts';
import { refusalOf, shown } from './checks/check.ts';
import type { SuiteChoice } from './checks/encryption.ts';
import { estimate } from './demand.ts';
import { type Considered, consider, neighboursOf, toCandidate, whyChosen, whyNone } from './placement.ts';
import type { Snapshot } from './types.ts';
import { World } from './world.ts';

/** The order as it can be carried out now, or why it cannot. */
export interface Decision {
  readonly plan: MigrationPlan;
  /** Missing where no host will do. */
  readonly chosen?: { readonly host: string; readonly suite: SuiteChoice };
  /** What the order is answered with where none will do. */
  readonly refusal?: SealiftError;
}

/** @throws SealiftError not_found, same_host, invalid_request: the order makes no sense, whatever the hosts are like */
export const planMigration = (snapshot: Snapshot, vm: string, order: MigrationOrder): MigrationPlan => decide(snapshot, vm, order).plan;

/**
 * @param except hosts that are not considered, unless the order names one
 * @throws as {@link planMigration}
 */
export function decide(snapshot: Snapshot, name: string, order: MigrationOrder, except: ReadonlySet<string> = new Set()): Decision {
  const world = new World(snapshot);
  const vm = world.vm(name);
  const source = world.host(vm.host);
  const limits = toLimits(order.limits);
  const multifdChannels = toMultifdChannels(order);
  const quest = { world, vm, source, clear: order.clear === true, multifdChannels };
  const named = order.to === undefined ? undefined : world.host(order.to);
  if (named === source) throw new SealiftError('same_host', `VM ${name} is on host ${source.name} already`);
  const hosts = named ? [named] : neighboursOf(quest).filter((host) => !except.has(host.name));
  const considered = consider(quest, hosts);
  const [best] = considered;
  const choice = best?.choice;
  const base = {
    vm: name,
    from: source.name,
    checks: checksOf(considered),
    candidates: considered.map((each) => toCandidate(each)),
    multifdChannels,
    limits,
    at: snapshot.at,
  };
  if (!choice) {
    const why = named ? `host ${named.name}, which the order names, will not do for VM ${name}` : whyNone(name, considered);
    const refusal = (named && best && refusalOf(best.judged)) ?? noHost(considered, why);
    return { plan: { ...base, why }, refusal };
  }
  const { suite, clearBecause } = choice.suite;
  const choices = considered.flatMap((each) => each.choice ?? []);
  return {
    chosen: { host: choice.host.name, suite: choice.suite },
    plan: {
      ...base,
      to: choice.host.name,
      suite,
      ...(clearBecause !== undefined && { clearBecause }),
      why: named ? `the order names host ${named.name}, and it will do` : whyChosen(choices, considered.length),
      estimate: estimate(vm, source.report, choice.host.report, limits),
    },
  };
}

/** Of the destination; where no host will do, what the best of them failed by is with its candidate. */
const checksOf = ([best]: readonly Considered[]): MigrationPlan['checks'] => (best?.judged ?? []).map(shown);

/** All hosts fail alike: that is the code. Otherwise it is a matter of room, or of one host or another being unfit. */
function noHost(considered: readonly Considered[], why: string): SealiftError {
  const codes = new Set(considered.flatMap(({ judged }) => judged.find((each) => each.verdict === 'fail')?.code ?? []));
  const [only, ...others] = codes;
  const code = only !== undefined && others.length === 0 ? only : codes.has('no_room') || codes.size === 0 ? 'no_room' : 'incompatible';
  return new SealiftError(code, why, { details: { candidates: considered.map((each) => toCandidate(each, false)) } });
}
