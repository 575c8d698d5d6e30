/**
 * `npm run endurance -- --migrations 200`: one guest under load is moved back and forth, and what must not grow is measured after each move: processes,
 * taps, files, descriptors and memory of the daemons, journals. A client outside writes increasing numbers all the while and checks each; a program in
 * the guest checks its memory. Exit status 1 where anything was lost, failed or grew. Needs root.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { managerClient } from '../lab/src/lab/api.ts';
import { recordedProcesses } from '../lab/src/lab/record.ts';
import { guestHost, guestName } from '../lab/src/lab/vm.ts';
import { untilInterrupted } from '../lab/src/system/interrupt.ts';
import { Workload } from '../lab/src/workload/client.ts';
import type { LoadReport } from '../lab/src/workload/protocol.ts';
import type { Migration } from '../packages/contract/src/index.ts';
import { TestLab } from './support/lab.ts';

const hosts = ['alpha', 'bravo'] as const;
const daemons = ['manager', ...hosts] as const;

interface Sample {
  /** By daemon. */
  readonly rssMiB: readonly number[];
  readonly descriptors: readonly number[];
  /** By host. */
  readonly journalKiB: readonly number[];
  /** Everything else that a host has, as text: alike after every move to the same host. */
  readonly hosts: string;
  readonly switchOverMs: number;
  readonly migrationMs: number;
  readonly guestGapMs: number;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const quarter = <T>(all: readonly T[], n: number): readonly T[] =>
  all.slice(Math.floor((all.length * n) / 4), Math.floor((all.length * (n + 1)) / 4));

/** For the kernel to take leave of connections that both agents have closed. */
const farewellMs = 10_000;
/** Connections between the daemons come and go. */
const looseDescriptors = 3;
/** Of a daemon's resident memory between the second and the last quarter: what V8 leaves to a later collection is less, a leak of 1 MiB a move more. */
const growthMiB = 32;
/** Twice what makes a journal worth compacting. */
const journalBoundKiB = 128;

class Endurance implements AsyncDisposable {
  readonly samples: Sample[] = [];
  readonly problems: string[] = [];
  readonly #lab: TestLab;
  readonly #manager;
  readonly #workload: Workload;

  constructor(lab: TestLab) {
    this.#lab = lab;
    this.#manager = managerClient(lab.paths.managerSocket);
    this.#workload = new Workload({ namespace: lab.plan.client.namespace, host: guestHost, connections: 4, writesPerSecond: 400 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#workload.stop();
    await this.#manager[Symbol.asyncDispose]();
  }

  async run(count: number, signal: AbortSignal): Promise<LoadReport> {
    const deadline = performance.now() + 180_000;
    for (;;) {
      const problem = await this.#workload.checker().then(() => undefined, String);
      if (problem === undefined) break;
      if (performance.now() > deadline) throw new Error(`the guest does not answer: ${problem}`);
      await sleep(200, undefined, { signal });
    }
    await this.#workload.start();
    for (let i = 0; i < count; i++) {
      if (signal.aborted) {
        this.problems.push(`interrupted after ${i} of ${count} migrations`);
        break;
      }
      const to = i % 2 === 0 ? 'bravo' : 'alpha';
      await this.#workload.reset();
      const { id, phase, failure, result } = await this.#move(to);
      if (phase !== 'completed' || !result) throw new Error(`migration ${i + 1} to ${to} ended as ${phase}: ${failure?.message}`);
      await this.#settled(id);
      const { guestGapMs } = await this.#workload.report();
      this.samples.push({ ...(await this.#measure()), ...result, guestGapMs });
      if (process.stdout.isTTY || (i + 1) % 20 === 0) process.stdout.write(`${i + 1} of ${count}\n`);
    }
    const before = await this.#workload.checker();
    for (;;) {
      const checker = await this.#workload.checker();
      if (checker && before && checker.passes >= before.passes + 2) {
        if (checker.errors > 0)
          this.problems.push(`${checker.errors} memory errors in ${checker.passes} passes of the checker in the guest`);
        break;
      }
      await sleep(200);
    }
    const load = await this.#workload.finish();
    for (const what of ['lostWrites', 'wrongValues', 'reconnects', 'refusedWrites'] as const) {
      if (load[what] > 0) this.problems.push(`${what}: ${load[what]}`);
    }
    this.#judge();
    return load;
  }

  /** A migration is over for the manager a moment before its agents have put away the last of it. What is there still after that is measured. */
  async #settled(migration: string): Promise<void> {
    await this.#lab.putAway(migration);
    const sockets = () => hosts.some((host) => this.#lab.hostState(host).channelSockets > 0);
    for (const until = performance.now() + farewellMs; sockets() && performance.now() < until; ) await sleep(20);
  }

  async #move(to: string): Promise<Migration> {
    let last = await this.#manager.migrateVm({ params: { vm: guestName }, body: { to } });
    for await (const event of this.#manager.watchMigration({ params: { migration: last.id } })) last = event;
    return last;
  }

  async #measure(): Promise<Pick<Sample, 'rssMiB' | 'descriptors' | 'journalKiB' | 'hosts'>> {
    const processes = await recordedProcesses(this.#lab.paths.processes);
    const pids = daemons.map((name) => processes.find((each) => each.name === name)?.pid ?? 0);
    const states = hosts.map((host) => {
      const { qemus, taps, files, channelSockets, openAttempts } = this.#lab.hostState(host);
      return { qemus: qemus.length, taps: taps.length, files, channelSockets, openAttempts };
    });
    return {
      rssMiB: pids.map((pid) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024),
      descriptors: pids.map((pid) => readdirSync(`/proc/${pid}/fd`).length),
      journalKiB: hosts.map((host) => statSync(join(this.#lab.paths.agentState(host), 'journal')).size / 1024),
      hosts: JSON.stringify(states),
    };
  }

  #judge(): void {
    const { samples, problems } = this;
    for (const parity of [0, 1]) {
      const found = new Set(samples.filter((_, i) => i % 2 === parity).map((sample) => sample.hosts));
      if (found.size > 1) problems.push(`what is left at the hosts differs from move to move: ${[...found].join('  |  ')}`);
    }
    for (const [i, name] of daemons.entries()) {
      const of = (n: number, what: 'descriptors' | 'rssMiB') => median(quarter(samples, n).map((sample) => sample[what][i] ?? 0));
      if (of(3, 'descriptors') > of(1, 'descriptors') + looseDescriptors)
        problems.push(`${name} has ${of(3, 'descriptors')} descriptors, after ${of(1, 'descriptors')}`);
      const grown = of(3, 'rssMiB') - of(1, 'rssMiB');
      if (grown > growthMiB) problems.push(`${name} has grown by ${grown.toFixed(0)} MiB from the second quarter to the last`);
    }
    const largest = Math.max(...samples.flatMap(({ journalKiB }) => journalKiB));
    if (largest > journalBoundKiB) problems.push(`a journal came to ${largest.toFixed(0)} KiB`);
  }
}

function tableOf(samples: readonly Sample[]): string {
  const rows: [string, (sample: Sample) => number][] = [
    ...daemons.map((name, i): [string, (sample: Sample) => number] => [`${name}: memory, MiB`, ({ rssMiB }) => rssMiB[i] ?? 0]),
    ...daemons.map((name, i): [string, (sample: Sample) => number] => [`${name}: descriptors`, ({ descriptors }) => descriptors[i] ?? 0]),
    ...hosts.map((name, i): [string, (sample: Sample) => number] => [`${name}: journal, KiB`, ({ journalKiB }) => journalKiB[i] ?? 0]),
    ['migration, ms', ({ migrationMs }) => migrationMs],
    ['switch-over, ms', ({ switchOverMs }) => switchOverMs],
    ['longest gap for the client, ms', ({ guestGapMs }) => guestGapMs],
  ];
  const line = (cells: readonly string[]): string => cells.map((cell, i) => (i === 0 ? cell.padEnd(32) : cell.padStart(12))).join('');
  const head = line(['median of', '1st quarter', '2nd', '3rd', '4th', 'largest']);
  const body = rows.map(([name, of]) =>
    line([name, ...[0, 1, 2, 3].map((n) => median(quarter(samples, n).map(of)).toFixed(0)), Math.max(...samples.map(of)).toFixed(0)]),
  );
  return [head, ...body].join('\n');
}

const { values } = parseArgs({ options: { migrations: { type: 'string', default: '200' }, json: { type: 'string' } } });
const count = Number(values.migrations);
if (!Number.isSafeInteger(count) || count < 8) throw new Error('--migrations: a whole number, 8 or more');
using interrupted = untilInterrupted();
await using lab = await TestLab.up({ memoryMiB: 256 });
await using endurance = new Endurance(lab);
const started = performance.now();
const load = await endurance.run(count, interrupted.signal);
process.stdout.write(
  `\n${endurance.samples.length} migrations in ${((performance.now() - started) / 1000).toFixed(0)} s\n\n${tableOf(endurance.samples)}\n\n`,
);
process.stdout.write(`${load.acknowledgedWrites} acknowledged writes, ${load.lostWrites} lost, ${load.wrongValues} wrong\n`);
for (const problem of endurance.problems) process.stdout.write(`PROBLEM  ${problem}\n`);
if (values.json !== undefined)
  writeFileSync(values.json, JSON.stringify({ load, samples: endurance.samples, problems: endurance.problems }));
process.exitCode = endurance.problems.length > 0 ? 1 : 0;
