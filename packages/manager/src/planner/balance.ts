/**
 * The fewest moves that bring every host of a cluster within the band around the cluster's mean.
 *
 * A host's distance is by how much its CPU and its memory are outside of the band, in hosts: 0.1 is a tenth of a host too much or too little.
 * The mean is what is used in all hosts over what there is in all, so that no move changes it. Step by step the host that is furthest out gives or
 * takes the VM that brings down the sum of all distances most, weighed against what the move costs, until no single move is worth its cost. Every
 * move brings the sum down, so that it ends; and no move that is worth it is left, so that the plan after the plan is empty.
 */
import type { BalancePlan, HostLoad, Move } from '@sealift/contract';
import { toMultifdChannels } from '../migrations/spec/limits.ts';
import { cpusOf, estimate, memoryOf } from './demand.ts';
import { moveOf } from './drain.ts';
import { Evenness } from './evenness.ts';
import { choiceOf, type Quest } from './placement.ts';
import type { Snapshot, SnapshotVm } from './types.ts';
import { World, type WorldHost } from './world.ts';

/** What a move must bring at the least, in hosts: so much, and for each minute of copying so much more. */
const worth = { move: 0.001, minute: 0.01 } as const;
/** A move without encryption that nobody has asked for is the last that is taken. */
const clearWorth = 0.1;
/** Hosts at either end of the order by load that are tried first. */
const few = 4;

interface Option {
  readonly vm: SnapshotVm;
  readonly from: WorldHost;
  readonly to: WorldHost;
  /** By how much it brings the sum of distances down, less what it costs. */
  readonly value: number;
}

/** @throws SealiftError not_found */
export function planBalance(snapshot: Snapshot, name: string): BalancePlan {
  const world = new World(snapshot);
  const { balance } = world.cluster(name);
  const all = world.hostsOf(name);
  const hosts = all.filter((host) => host.open);
  const even = new Evenness(hosts, balance.bandPercent / 100);
  const before = loadsOf(all);
  const rested = (vm: SnapshotVm): boolean => vm.movedAt === undefined || vm.movedAt + balance.restMs <= snapshot.at;
  const movable = new Map(hosts.map((host) => [host, new Set<SnapshotVm>()]));
  for (const vm of snapshot.vms) {
    const running = (vm.state === 'running' || vm.state === 'paused') && vm.known && !world.migrations.has(vm.name);
    const host = world.hosts.get(vm.host);
    if (running && host && rested(vm)) movable.get(host)?.add(vm);
  }
  const moves: Move[] = [];
  const impossible = new Set<string>();
  for (let step = nextMove(); step; step = nextMove()) moves.push(step);
  // By less than any move would be made for, it is within.
  const out = hosts.filter((host) => even.distance(host) > worth.move);
  return {
    cluster: name,
    moves,
    before,
    after: loadsOf(all),
    balanced: out.length === 0,
    why: whyOf(even, hosts, moves, out),
    at: snapshot.at,
  };

  function nextMove(): Move | undefined {
    const furthest = hosts.map((host) => ({ host, distance: even.distance(host) })).filter(({ distance }) => distance > 0);
    furthest.sort((a, b) => b.distance - a.distance || (a.host.name < b.host.name ? -1 : 1));
    const byLoad = [...hosts].sort((a, b) => even.lean(a) - even.lean(b) || (a.name < b.name ? -1 : 1));
    const [emptiest, fullest] = [byLoad.slice(0, few), byLoad.slice(-few)];
    // The ends of the list nearly always have the best move; only where they have none is everything looked through.
    for (const [takers, givers] of [
      [emptiest, fullest],
      [hosts, hosts],
    ] as const) {
      for (const { host } of furthest) {
        const done = bestOf(optionsFor(host, givers, takers));
        if (done) return done;
      }
    }
    return undefined;
  }

  /** Every move out of this host to one of these, and into it from one of those, that would be worth it; the best first. */
  function optionsFor(host: WorldHost, givers: readonly WorldHost[], takers: readonly WorldHost[]): Option[] {
    const options: Option[] = [];
    const collect = (from: WorldHost, to: WorldHost): void => {
      if (from === to) return;
      for (const vm of movable.get(from) ?? []) {
        const option = optionOf(vm, from, to);
        if (option) options.push(option);
      }
    };
    for (const to of takers) collect(host, to);
    for (const from of givers) collect(from, host);
    return options.sort((a, b) => b.value - a.value || compare(a.vm.name, b.vm.name) || compare(a.to.name, b.to.name));
  }

  function optionOf(vm: SnapshotVm, from: WorldHost, to: WorldHost): Option | undefined {
    if (memoryOf(vm) > to.free) return undefined;
    const gain = even.gain(cpusOf(vm), memoryOf(vm), from, to);
    if (gain <= worth.move) return undefined;
    const { ms } = estimate(vm, from.report, to.report);
    const value = gain - worth.move - (ms / 60_000) * worth.minute;
    return value > 0 ? { vm, from, to, value } : undefined;
  }

  /** The first of these that breaks no check and no rule, made. */
  function bestOf(options: readonly Option[]): Move | undefined {
    let clear: { option: Option; choice: NonNullable<ReturnType<typeof choiceOf>> } | undefined;
    for (const option of options) {
      if (clear && option.value < clear.option.value * clearWorth) break;
      const key = `${option.vm.name} ${option.to.name}`;
      if (impossible.has(key)) continue;
      const quest: Quest = { world, vm: option.vm, source: option.from, clear: false, multifdChannels: toMultifdChannels({}) };
      const choice = choiceOf(quest, option.to);
      // Neither is what a rule says of where other VMs are; but what fails now is rarely mended by the moves of the same plan.
      if (!choice || choice.softRules > 0) {
        if (world.rulesOf(option.vm.name).length === 0) impossible.add(key);
        continue;
      }
      if (!choice.suite.fallback) return made(option, choice);
      clear ??= { option, choice };
    }
    return clear && made(clear.option, clear.choice);
  }

  function made({ vm, from, to }: Option, choice: NonNullable<ReturnType<typeof choiceOf>>): Move {
    const [was, there] = [from.load(), to.load()];
    world.move(vm, to);
    movable.get(from)?.delete(vm);
    const why =
      `host ${from.name} from ${said(was)} to ${said(from.load())}, ` +
      `host ${to.name} from ${said(there)} to ${said(to.load())}; the cluster's mean is ${said(even.mean)}`;
    return moveOf(vm, choice, why, estimate(vm, from.report, to.report));
  }
}

const loadsOf = (hosts: readonly WorldHost[]): BalancePlan['before'] => hosts.map((host) => ({ host: host.name, load: host.load() }));

function whyOf(even: Evenness, hosts: readonly WorldHost[], moves: readonly Move[], out: readonly WorldHost[]): string {
  if (hosts.length === 0) return 'no host of the cluster answers and takes VMs';
  const mean = `the cluster's mean of ${said(even.mean)}`;
  if (out.length === 0 && moves.length === 0) return `every host is within the band around ${mean}`;
  const count = `${moves.length} move${moves.length === 1 ? '' : 's'}`;
  if (out.length === 0) return `${count} bring${moves.length === 1 ? 's' : ''} every host within the band around ${mean}`;
  const names = out.map((host) => `${host.name} (${said(host.load())})`).join(', ');
  const rest = 'no other move is worth its cost, keeps every rule and check, and is of a VM that was not moved of late';
  return `${moves.length === 0 ? 'nothing is moved' : `after ${count}`}: outside of the band around ${mean} ${out.length === 1 ? 'is' : 'are'} ${names}; ${rest}`;
}

const said = ({ cpu, memory }: HostLoad): string => `cpu ${Math.round(cpu * 100)} %, memory ${Math.round(memory * 100)} %`;

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
