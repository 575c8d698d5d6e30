/**
 * How long plans take on a cluster of 128 hosts: the drain of a host with 100 VMs, the balance of 5,000 VMs, one migration without a destination.
 *
 *     tools/node bench/planner.ts
 */
import os from 'node:os';
import { parseArgs } from 'node:util';
import { planBalance, planDrain, planMigration } from '../packages/manager/src/planner/index.ts';
import { applied, type SiteOf, type SiteVm, snapshotOf } from '../packages/manager/src/planner/testing/sites.ts';

const { values } = parseArgs({ options: { repeat: { type: 'string', default: '15' } } });
const hosts = 128;
const hostNames = Array.from({ length: hosts }, (_, index) => `host-${String(index).padStart(3, '0')}`);

/** A generator of numbers from 0 to 1 that is the same on every run: mulberry32. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const next = numbers(1);
const vm = (index: number, host: number): SiteVm => ({
  name: `vm-${String(index).padStart(5, '0')}`,
  host: hostNames[host % hosts] ?? '',
  definition: { memoryMiB: [1024, 2048, 4096, 8192][Math.floor(next() * 4)] ?? 1024, vcpus: 4 },
  cpus: next() * 1.5,
});
const machines = hostNames.map((name) => ({ name, totalMiB: 786_432, report: { cpus: 96, linkMbps: 25_000 } }));

/** 100 on the first host, the others as evenly as it comes. */
const drained: SiteOf = {
  hosts: machines,
  vms: Array.from({ length: 5000 }, (_, index) => vm(index, index < 100 ? 0 : 1 + (index % (hosts - 1)))),
};
/** A quarter of the hosts has most of the VMs. */
const uneven: SiteOf = {
  hosts: machines,
  vms: Array.from({ length: 5000 }, (_, index) => vm(index, next() < 0.6 ? Math.floor(next() * 32) : Math.floor(next() * hosts))),
};

/** The median and the most, ms: by the clock, and of the CPU, which others on the machine take no part in. */
function times(work: () => unknown) {
  const taken = Array.from({ length: Number(values.repeat) }, () => {
    const [begun, cpu] = [performance.now(), process.cpuUsage()];
    work();
    const { user, system } = process.cpuUsage(cpu);
    return { clock: performance.now() - begun, cpu: (user + system) / 1000 };
  });
  const figures = (of: (each: (typeof taken)[number]) => number) => {
    const sorted = taken.map(of).sort((a, b) => a - b);
    return { median: round(sorted[sorted.length >> 1]), most: round(sorted.at(-1)) };
  };
  return { clock: figures((each) => each.clock), cpu: figures((each) => each.cpu) };
}

const round = (ms = 0): number => Math.round(ms * 10) / 10;

const [drainSite, unevenSite] = [snapshotOf(drained), snapshotOf(uneven)];
const drain = planDrain(drainSite, 'host-000', {});
const balance = planBalance(unevenSite, 'default');
const again = planBalance(snapshotOf(applied(uneven, balance.moves)), 'default');

console.log(
  JSON.stringify(
    {
      cpu: os.cpus()[0]?.model,
      loadAverage: os.loadavg()[0],
      repeat: Number(values.repeat),
      migrationMs: times(() => planMigration(drainSite, 'vm-00050', {})),
      drain: {
        vms: drain.moves.length + drain.stays.length,
        moves: drain.moves.length,
        ms: times(() => planDrain(drainSite, 'host-000', {})),
      },
      balance: {
        moves: balance.moves.length,
        balanced: balance.balanced,
        movesOfTheNextPlan: again.moves.length,
        ms: times(() => planBalance(unevenSite, 'default')),
      },
    },
    undefined,
    2,
  ),
);
