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
import { choiceOf, type Quest } from './placement.ts';
import type { Snapshot, SnapshotVm } from './types.ts';
import { World, type WorldHost } from './world.ts';

/** What a move must bring at the least, in hosts: so much, and for each minute of copying so much more. */
const worth = { move: 0.001, minute: 0.01 } as const;
/** A move without encryption that nobody has asked for is the last that is taken. */
const clearWorth = 0.1;

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
  const out = hosts.filter((host) => even.distance(host) > 0);
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
    for (const { host } of furthest) {
      const done = bestOf(optionsFor(host));
      if (done) return done;
    }
    return undefined;
  }

  /** Every move out of this host, and into it, that would be worth it. */
  function optionsFor(host: WorldHost): Option[] {
    const out = [...(movable.get(host) ?? [])].flatMap((vm) => hosts.flatMap((to) => optionOf(vm, host, to) ?? []));
    const into = hosts.flatMap((from) => [...(movable.get(from) ?? [])].flatMap((vm) => optionOf(vm, from, host) ?? []));
    return [...out, ...into].sort(
      (a, b) => b.value - a.value || (a.vm.name < b.vm.name ? -1 : a.vm.name > b.vm.name ? 1 : a.to.name < b.to.name ? -1 : 1),
    );
  }

  function optionOf(vm: SnapshotVm, from: WorldHost, to: WorldHost): Option | undefined {
    if (from === to || memoryOf(vm) > to.free) return undefined;
    const gain = even.gain(vm, from, to);
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

/** How far hosts are from the cluster's mean. */
class Evenness {
  readonly mean: HostLoad;
  readonly #band: number;

  constructor(hosts: readonly WorldHost[], band: number) {
    const sum = (of: (host: WorldHost) => number): number => hosts.reduce((total, host) => total + of(host), 0);
    const cpus = sum((host) => host.report?.cpus ?? 0);
    const memory = sum((host) => host.report?.memory.total ?? 0);
    this.mean = {
      cpu: cpus === 0 ? 0 : sum((host) => host.cpus) / cpus,
      memory: memory === 0 ? 0 : sum((host) => host.held) / memory,
      link: 0,
    };
    this.#band = band;
  }

  /** Of a host outside of the band, in hosts; 0 within it. */
  distance(host: WorldHost, cpus = 0, bytes = 0): number {
    const { cpu, memory } = host.load(cpus, bytes);
    return this.#outside(cpu - this.mean.cpu) + this.#outside(memory - this.mean.memory);
  }

  /** By how much a move brings down the sum of the distances. */
  gain(vm: SnapshotVm, from: WorldHost, to: WorldHost): number {
    const [cpus, bytes] = [cpusOf(vm), memoryOf(vm)];
    return this.distance(from) - this.distance(from, -cpus, -bytes) + (this.distance(to) - this.distance(to, cpus, bytes));
  }

  #outside(difference: number): number {
    const outside = Math.abs(difference) - this.#band;
    return outside > exact ? outside : 0;
  }
}

/** Below it, a difference is only that of sums in another order. */
const exact = 1e-5;

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
