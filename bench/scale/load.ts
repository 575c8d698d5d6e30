/** What the manager is put to while it is measured: migrations that are kept up, clients that look around, one that follows the events. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Event, Migration } from '@sealift/contract';
import type { Moment } from '../../lab/src/sim/host.ts';
import { numbers } from '../../lab/src/sim/plan.ts';
import { Caller, follow } from './calls.ts';

/** Orders of migrations that are made at the same time. */
const orderers = 16;

/** Keeps so many migrations going: for each that ends another VM is told to move, to wherever the manager finds best. */
export class Migrations {
  readonly #base: string;
  readonly #vms: readonly string[];
  readonly #wanted: number;
  readonly #random = numbers(3);
  readonly #running = new Set<string>();
  #inOrder = 0;
  #work: Promise<void>[] = [];
  #stopped = false;
  readonly orderMs: number[] = [];
  ended = { completed: 0, failed: 0, other: 0 };
  refused = 0;
  lastRefusal = '';

  constructor(base: string, vms: readonly string[], wanted: number) {
    this.#base = base;
    this.#vms = vms;
    this.#wanted = wanted;
  }

  get running(): number {
    return this.#running.size;
  }

  start(): void {
    this.#work = Array.from({ length: orderers }, () => this.#order());
  }

  heard({ type, subject, data }: Event): void {
    if (type !== 'migration.ended' || subject.migration === undefined || !this.#running.delete(subject.migration)) return;
    const phase = data?.['phase'];
    if (phase === 'completed' || phase === 'failed') this.ended[phase]++;
    else this.ended.other++;
  }

  /** Those that ended while nobody listened are not running any more. */
  keepOnly(running: ReadonlySet<string>): void {
    for (const id of this.#running) if (!running.has(id)) this.#running.delete(id);
    for (const id of running) this.#running.add(id);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#work);
  }

  async #order(): Promise<void> {
    const caller = new Caller(this.#base);
    while (!this.#stopped) {
      if (this.#running.size + this.#inOrder >= this.#wanted) {
        await sleep(20);
        continue;
      }
      const vm = this.#vms[Math.floor(this.#random() * this.#vms.length)];
      this.#inOrder++;
      const begun = performance.now();
      try {
        const { id } = await caller.call<Migration>('POST', `/v1/vms/${vm}/migrations`, {});
        this.#running.add(id);
        this.orderMs.push(performance.now() - begun);
      } catch (error) {
        // It moves already, or is off just now.
        this.refused++;
        this.lastRefusal = String(error);
        await sleep(20);
      } finally {
        this.#inOrder--;
      }
    }
    caller.close();
  }
}

export type Operation = 'list VMs' | 'list hosts' | 'show VM' | 'show host' | 'plan';

export interface Looking {
  readonly base: string;
  readonly vms: readonly string[];
  readonly hosts: readonly string[];
  readonly clients: number;
  readonly seconds: number;
  /** What a client waits after each answer, ms. */
  readonly pauseMs: number;
  /** Rows of a page. */
  readonly page: number;
}

/** @returns the time of each call, ms, and what failed */
export async function look(looking: Looking): Promise<{ times: Map<Operation, number[]>; failed: string[] }> {
  const { base, vms, hosts, clients, seconds, pauseMs, page } = looking;
  const random = numbers(4);
  const any = (all: readonly string[]): string => all[Math.floor(random() * all.length)] ?? '';
  const operations: readonly (readonly [Operation, (caller: Caller) => Promise<string>])[] = [
    ['list VMs', (caller) => caller.text('GET', `/v1/vms?limit=${page}&after=${any(vms)}`)],
    ['list hosts', (caller) => caller.text('GET', `/v1/hosts?limit=${Math.ceil(page / 10)}&after=${any(hosts)}`)],
    ['show VM', (caller) => caller.text('GET', `/v1/vms/${any(vms)}`)],
    ['show host', (caller) => caller.text('GET', `/v1/hosts/${any(hosts)}`)],
    ['plan', (caller) => caller.text('POST', `/v1/vms/${any(vms)}/plan`, {})],
  ];
  const times = new Map<Operation, number[]>(operations.map(([name]) => [name, []]));
  const failed: string[] = [];
  const end = performance.now() + seconds * 1000;
  const client = async (number: number): Promise<void> => {
    const caller = new Caller(base);
    await sleep(random() * pauseMs);
    for (let turn = number; performance.now() < end; turn++) {
      const [name, call] = operations[turn % operations.length] ?? operations[0] ?? [];
      if (name === undefined || call === undefined) return;
      const begun = performance.now();
      try {
        await call(caller);
        times.get(name)?.push(performance.now() - begun);
      } catch (error) {
        failed.push(String(error));
      }
      await sleep(pauseMs * (0.5 + random()));
    }
    caller.close();
  };
  await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
  return { times, failed };
}

/** Joins what happened at the agents to the events that tell of it. */
export class Delays {
  /** Of migrations: each phase that an event told of. */
  readonly migrations: number[] = [];
  /** Of migrations: their ends alone. */
  readonly ends: number[] = [];
  /** Of VMs that changed their state by themselves. */
  readonly vms: number[] = [];
  readonly #heard = new Map<string, number>();
  readonly #happened = new Map<string, number>();
  readonly #stop: () => void;

  constructor(base: string, listener: (event: Event) => void) {
    this.#stop = follow(base, (said, at) => {
      const event = said as Event; // of the stream that was asked for
      listener(event);
      const { type, subject, data } = event;
      if (type === 'vm.state') this.#join(`${subject.vm}:${data?.['state']}`, at, this.#heard, this.#happened);
      else if (type.startsWith('migration.')) this.#join(`${subject.migration}:${data?.['phase']}`, at, this.#heard, this.#happened);
    });
  }

  /** What happened, as the simulated agents say. */
  happened(moments: readonly Moment[]): void {
    for (const moment of moments) {
      const key = 'vm' in moment ? `${moment.vm}:${moment.state}` : `${moment.migration}:${moment.phase}`;
      this.#join(key, moment.at, this.#happened, this.#heard);
    }
  }

  /** What ended at an agent more than `ms` ago and was never told. */
  untold(ms: number): number {
    const before = performance.timeOrigin + performance.now() - ms;
    return [...this.#happened].filter(([key, at]) => /:(completed|failed|stopped|running)$/.test(key) && at < before).length;
  }

  /** From here on. */
  clear(): void {
    for (const all of [this.migrations, this.ends, this.vms]) all.length = 0;
    this.#heard.clear();
    this.#happened.clear();
  }

  stop(): void {
    this.#stop();
  }

  #join(key: string, at: number, mine: Map<string, number>, other: Map<string, number>): void {
    const there = other.get(key);
    if (there === undefined) {
      mine.set(key, at);
      return;
    }
    other.delete(key);
    const delay = Math.abs(at - there);
    if (/:(stopped|running)$/.test(key)) this.vms.push(delay);
    else this.migrations.push(delay);
    if (/:(completed|failed)$/.test(key)) this.ends.push(delay);
  }
}
