/**
 * Where every VM of a host would go: one after another onto the snapshot as the moves before have changed it. The biggest are placed first,
 * while there is most room; they move last, when the host has least else to do.
 */
import { type DrainOrder, type DrainPlan, diskWords, type Move } from '@sealift/contract';
import { toLimits, toMultifdChannels } from '../migrations/spec/limits.ts';
import { estimate, impactOf, isLive } from './demand.ts';
import { type Choice, choiceOf, choicesOf, consider, neighboursOf, type Quest, toCandidate, whyChosen, whyNone } from './placement.ts';
import type { Snapshot, SnapshotVm } from './types.ts';
import { byName, World } from './world.ts';

type Stay = DrainPlan['stays'][number];

/** @throws SealiftError not_found, invalid_request */
export function planDrain(snapshot: Snapshot, name: string, order: DrainOrder): DrainPlan {
  const world = new World(snapshot);
  const host = world.host(name);
  // What the plan is for; rules that keep VMs together let one leave before the others then.
  if (host.maintenance === 'none') host.maintenance = 'draining';
  toLimits(order.limits);
  const questOf = (vm: SnapshotVm): Quest => ({
    world,
    vm,
    source: host,
    clear: false,
    multifdChannels: toMultifdChannels({ ...(order.limits && { limits: order.limits }) }),
  });
  const here = snapshot.vms.filter((vm) => vm.host === name && world.migrations.get(vm.name)?.from !== name).sort(byName);
  const stays: Stay[] = [...arrivingAt(snapshot, name), ...here.filter((vm) => !isLive(vm)).map(stoppedStays)];
  const moves: Placed[] = [];
  for (const unit of unitsOf(world, here.filter(isLive))) {
    const placed = placeUnit(world, unit.map(questOf));
    if (placed) moves.push(...placed);
    else stays.push(...unit.map((vm) => stayOf(questOf(vm), unit)));
  }
  return {
    host: name,
    moves: moves.reverse().map(({ vm, choice, why }) => moveOf(vm, choice, why, estimateOf(vm, choice))),
    stays,
    at: snapshot.at,
  };

  function estimateOf(vm: SnapshotVm, choice: Choice): Move['estimate'] {
    return estimate(vm, host.report, choice.host.report, order.limits);
  }
}

interface Placed {
  readonly vm: SnapshotVm;
  readonly choice: Choice;
  readonly why: string;
}

export function moveOf(vm: SnapshotVm, { host, suite: { suite, clearBecause } }: Choice, why: string, estimated: Move['estimate']): Move {
  return {
    vm: vm.name,
    from: vm.host,
    to: host.name,
    suite,
    ...(clearBecause !== undefined && { clearBecause }),
    why,
    ...(estimated && { estimate: estimated }),
  };
}

/** VMs that must stay together go together; the rest one by one. The highest impact first. */
function unitsOf(world: World, vms: readonly SnapshotVm[]): SnapshotVm[][] {
  const left = new Map(vms.map((vm) => [vm.name, vm]));
  const units: SnapshotVm[][] = [];
  for (const vm of vms) {
    if (!left.delete(vm.name)) continue;
    const unit = [vm];
    for (const each of unit) {
      const rules = world.rulesOf(each.name).filter(({ kind, must }) => kind === 'together' && must);
      for (const mate of rules.flatMap((rule) => rule.vms)) {
        const found = left.get(mate);
        if (found && left.delete(mate)) unit.push(found);
      }
    }
    units.push(unit.sort((a, b) => impactOf(b) - impactOf(a) || byName(a, b)));
  }
  const impact = (unit: readonly SnapshotVm[]): number => unit.reduce((sum, vm) => sum + impactOf(vm), 0);
  return units
    .map((unit) => ({ unit, impact: impact(unit) }))
    .sort((a, b) => b.impact - a.impact)
    .map(({ unit }) => unit);
}

/** All of it or nothing. @returns undefined with the world as it was */
function placeUnit(world: World, quests: readonly Quest[]): Placed[] | undefined {
  const [first, ...others] = quests;
  if (!first) return [];
  const neighbours = neighboursOf(first);
  const choices = choicesOf(first, neighbours);
  for (const [index, choice] of choices.entries()) {
    const undo = [world.move(first.vm, choice.host)];
    const placed = [{ vm: first.vm, choice, why: whyChosen(choices.slice(index), neighbours.length) }];
    for (const quest of others) {
      const with_ = choiceOf(quest, choice.host);
      if (!with_) break;
      undo.push(world.move(quest.vm, with_.host));
      placed.push({
        vm: quest.vm,
        choice: with_,
        why: `it must be together with VM ${first.vm.name}, which goes to host ${choice.host.name}`,
      });
    }
    if (placed.length === quests.length) return placed;
    for (const step of undo.reverse()) step();
  }
  return undefined;
}

function stayOf(quest: Quest, unit: readonly SnapshotVm[]): Stay {
  const { vm } = quest;
  const considered = consider(quest, neighboursOf(quest));
  // What would stand in the way of each is told; what would not, is not repeated for every host.
  const candidates = considered.map((each) => toCandidate(each, false));
  if (!considered.some(({ choice }) => choice)) return { vm: vm.name, candidates, why: whyNone(vm.name, considered) };
  const mates = unit.filter((each) => each !== vm).map((each) => each.name);
  const why = `VM ${vm.name} must be together with ${mates.join(', ')}, and no host has room for all of them and will do for each`;
  return { vm: vm.name, candidates, why };
}

function stoppedStays({ name, host, state, definition: { disks } }: SnapshotVm): Stay {
  const local = disks.filter((disk) => !disk.shared).map(diskWords);
  const where =
    local.length > 0
      ? `its disk${local.length > 1 ? 's' : ''} ${local.join(', ')} can be read on host ${host} only`
      : `it has no disk on host ${host} alone, so nothing of it is lost to others while the host is away`;
  const what = `VM ${name} is ${state}: it has no memory to move, and stays defined on host ${host}`;
  return {
    vm: name,
    candidates: [],
    why: `${what}; ${where}. It cannot be started while the host is away; to have it elsewhere, start and migrate it first`,
  };
}

function arrivingAt({ migrations }: Snapshot, name: string): Stay[] {
  const arriving = migrations.filter(({ to }) => to === name);
  return arriving.map(({ vm, from, id }) => ({
    vm,
    candidates: [],
    why: `VM ${vm} is still arriving from host ${from} (migration ${id}); it can leave when it is here, or cancel it: sealift migration cancel ${id}`,
  }));
}
