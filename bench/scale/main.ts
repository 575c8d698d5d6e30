/** `npm run bench -- scale`: one manager, thousands of simulated hosts, migrations that never stop, and people who look on. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { BalancePlan, DrainPlan, Host } from '@sealift/contract';
import { managerDnsName } from '../../lab/src/certificates.ts';
import { planSite } from '../../lab/src/sim/plan.ts';
import { Caller } from './calls.ts';
import { isMet, spread, type Target } from './figures.ts';
import { Delays, look, Migrations } from './load.ts';
import { certify, cpuSecondsOf, freePort, type ManagerProcess, seed, startManager, startSim } from './site.ts';

const help = `usage: npm run bench -- scale [options]

Starts simulated agents in one process (lab/src/sim: the agent's API over mutual TLS 1.3, a certificate for each host) and a manager in another, whose
database was filled beforehand through its own store. Keeps migrations going, each placed by the manager; some fail. Then, in this order: the restart
of a killed manager under that load; plans of a drain and of a balance; clients that list, show and plan; all the while an event stream is followed.

  --hosts N        (2500)      --migrations N  at the same time (1000)
  --vms N          (40000)     --clients N     (50)
  --seconds N      of the clients (60)
  --pause N        of a client after each answer, ms (500), half as much to half as much again
  --copy N         how long a migration copies, seconds, on average (120; --quick 15)
  --page N         rows of a list of VMs; a list of hosts has a tenth (100)
  --repeat N       plans of a drain, and of a balance (11)
  --only PARTS     of restart, plans, clients those that are named, with commas between (all); what a part measures is missing without it
  --quick          250 hosts, 4000 VMs, 100 migrations, 15 seconds
  --profile DIR    V8 CPU profiles of the manager
  --keep           the folder with the manager's log and database
  --json           all figures as JSON on standard output, nothing else

Exit status 1 where a target was missed, a call failed, or fewer than nine tenths of the migrations were under way; 2 for wrong options.
`;

const parts = ['restart', 'plans', 'clients'] as const;
type Part = (typeof parts)[number];

type Values = ReturnType<typeof readOptions>;

function readOptions(args: string[]) {
  const string = { type: 'string' } as const;
  const no = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({
    args,
    options: {
      ...{ hosts: string, vms: string, migrations: string, clients: string, seconds: string, pause: string, copy: string, page: string },
      ...{ repeat: string, profile: string, only: string, quick: no, keep: no, json: no, help: no },
    },
  });
  const whole = (
    name: 'hosts' | 'vms' | 'migrations' | 'clients' | 'seconds' | 'pause' | 'copy' | 'page' | 'repeat',
    otherwise: number,
  ) => {
    const text = values[name] ?? String(otherwise);
    if (!/^\d{1,6}$/.test(text)) throw new Error(`--${name} is a whole number, not ${text}`);
    return Number(text);
  };
  const { quick } = values;
  const only = (values.only ?? parts.join(',')).split(',');
  const unknown = only.find((part) => !(parts as readonly string[]).includes(part));
  if (unknown !== undefined) throw new Error(`--only is made of ${parts.join(', ')}, not of "${unknown}"`);
  return {
    measures: (part: Part) => only.includes(part),
    hosts: whole('hosts', quick ? 250 : 2500),
    vms: whole('vms', quick ? 4000 : 40_000),
    migrations: whole('migrations', quick ? 100 : 1000),
    clients: whole('clients', 50),
    seconds: whole('seconds', quick ? 15 : 60),
    pauseMs: whole('pause', 500),
    copyMs: whole('copy', quick ? 15 : 120) * 1000,
    page: whole('page', 100),
    repeat: whole('repeat', 11),
    profile: values.profile,
    ...{ keep: values.keep, json: values.json, help: values.help },
  };
}

/** Every host answers, or the time is over. @returns how many do */
async function connected(caller: Caller, names: readonly string[], withinMs: number): Promise<number> {
  const end = performance.now() + withinMs;
  for (;;) {
    let count = 0;
    for (let from = 0; from < names.length; from += 100) {
      const after = from === 0 ? '' : `&after=${names[from - 1]}`;
      const hosts = await caller.call<Host[]>('GET', `/v1/hosts?limit=100${after}`);
      count += hosts.filter(({ state }) => state === 'connected').length;
    }
    if (count === names.length || performance.now() > end) return count;
    await sleep(250);
  }
}

/** It is gone on without: how many there were is among the figures. */
async function until(so: () => boolean, withinMs: number): Promise<void> {
  const end = performance.now() + withinMs;
  while (!so() && performance.now() < end) await sleep(50);
}

async function timed<T>(times: number[], work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  const result = await work();
  times.push(performance.now() - begun);
  return result;
}

/** After a manager was started at that moment, ms, whose clients wait for it. */
async function restarted(caller: Caller, hosts: readonly string[], begun: number) {
  const since = (): number => Math.round(performance.now() - begun);
  const readyMs = since();
  await caller.text('GET', '/v1/vms?limit=100');
  const answersMs = since();
  const restartConnected = await connected(caller, hosts, 60_000);
  return { readyMs, answersMs, wholeMs: since(), restartConnected };
}

async function plansOf(caller: Caller, host: string, repeat: number) {
  const [drainMs, balanceMs]: [number[], number[]] = [[], []];
  let moves = { drain: 0, balance: 0 };
  for (let turn = 0; turn < repeat; turn++) {
    const drain = await timed(drainMs, () => caller.call<DrainPlan>('POST', `/v1/hosts/${host}/drain/plan`, {}));
    await sleep(200);
    const balance = await timed(balanceMs, () => caller.call<BalancePlan>('POST', '/v1/clusters/cluster-00/balance/plan'));
    await sleep(200);
    moves = { drain: drain.moves.length, balance: balance.moves.length };
  }
  return { drain: { moves: moves.drain, ms: spread(drainMs) }, balance: { moves: moves.balance, ms: spread(balanceMs) } };
}

async function measure(options: Values, say: (words: string) => void) {
  const folder = mkdtempSync(join(os.tmpdir(), 'sealift-scale-'));
  const undo: (() => Promise<void> | void)[] = [];
  if (!options.keep) undo.push(() => rmSync(folder, { recursive: true, force: true }));
  try {
    const plan = planSite(options);
    const hosts = plan.map(({ name }) => name);
    const vms = plan.flatMap((host) => host.vms.map(({ name }) => name));
    const [drained = ''] = hosts;
    const movable = plan.flatMap((host) => (host.cluster === 'cluster-00' && plan.length > 128 ? [] : host.vms.map(({ name }) => name)));

    say(`${hosts.length} hosts with ${vms.length} VMs: certificates`);
    const certificates = join(folder, 'certificates');
    const identities = await certify(certificates, plan);
    const identity = identities.get(managerDnsName);
    if (!identity) throw new Error('the manager has no certificate');
    let delays: Delays | undefined;
    const sim = await startSim(
      { ...options, certificates, failing: 0.02, progressMs: 250, changesPerSecond: 5 },
      (moments) => void delays?.happened(moments),
    );
    undo.push(() => sim.close());
    say('the database');
    await seed(join(folder, 'state'), plan, sim);

    const port = await freePort();
    const start = () => startManager(folder, identity, port, options.profile);
    let manager: ManagerProcess = await start();
    undo.push(() => manager.end('SIGTERM'));
    const caller = new Caller(manager.url);
    undo.push(() => caller.close());
    say(`the manager is ready after ${(manager.readyMs / 1000).toFixed(1)} s`);
    const firstConnected = await connected(caller, hosts, 120_000);
    say(`${firstConnected} hosts answer; migrations begin`);

    const migrations = new Migrations(manager.url, movable, options.migrations);
    const followed = () => {
      delays = new Delays(manager.url, (event) => migrations.heard(event));
      return delays;
    };
    let following = followed();
    undo.push(() => following.stop());
    undo.push(() => migrations.stop());
    migrations.start();
    await until(() => migrations.running >= options.migrations * 0.99, 180_000);
    const rampUp = { peak: manager.memory().peak, refused: migrations.refused, lastRefusal: migrations.lastRefusal };

    let restart: Awaited<ReturnType<typeof restarted>> | undefined;
    if (options.measures('restart')) {
      say(`${migrations.running} migrations run; the manager is killed and started again`);
      await manager.end('SIGKILL');
      following.stop();
      const begun = performance.now();
      manager = await start();
      following = followed();
      restart = await restarted(caller, hosts, begun);
      say(`ready after ${restart.readyMs} ms, all ${restart.restartConnected} hosts known after ${restart.wholeMs} ms`);
      // What ended while nobody listened is no longer counted as running.
      await resync(caller, migrations);
      await until(() => migrations.running >= options.migrations * 0.98, 180_000);
    }

    if (options.measures('plans')) say('plans of a drain and of a balance');
    const plans = options.measures('plans') ? await plansOf(caller, drained, options.repeat) : undefined;

    if (options.measures('clients')) say(`${options.clients} clients for ${options.seconds} s`);
    await sleep(2000);
    following.clear();
    const cpu = () => ({ manager: manager.cpuSeconds(), sim: cpuSecondsOf(sim.pid), bench: process.cpuUsage() });
    const [before, began, endedBefore] = [cpu(), performance.now(), { ...migrations.ended }];
    let leastRunning = Number.POSITIVE_INFINITY;
    const watch = setInterval(() => {
      leastRunning = Math.min(leastRunning, migrations.running);
    }, 500);
    const clients = options.measures('clients') ? options.clients : 0;
    const looked = await look({ ...options, clients, base: manager.url, vms, hosts });
    if (clients === 0) await sleep(1000);
    clearInterval(watch);
    const [after, seconds] = [cpu(), (performance.now() - began) / 1000];
    const memory = manager.memory();
    await sleep(2500);
    const untold = following.untold(2000);
    await migrations.stop();

    const operations = Object.fromEntries([...looked.times].map(([name, times]) => [name, spread(times)]));
    const worst = Math.max(...Object.values(operations).map(({ p99 }) => p99));
    const peak = Math.max(rampUp.peak, memory.peak);
    const [phases, vmStates] = [spread(following.migrations), spread(following.vms)];
    const targets: Target[] = [
      ...(clients === 0
        ? []
        : [
            { what: `API p99 of list, show and plan under ${clients} clients`, unit: 'ms', below: 200, measured: worst },
            { what: 'events of migrations delivered, p99', unit: 'ms', below: 1000, measured: phases.p99 },
            { what: 'events of VM states delivered, p99', unit: 'ms', below: 1000, measured: vmStates.p99 },
          ]),
      ...(plans
        ? [
            { what: `plan of a drain of ${plans.drain.moves} VMs, median`, unit: 'ms', below: 100, measured: plans.drain.ms.p50 },
            { what: 'proposal of a balance, median', unit: 'ms', below: 1000, measured: plans.balance.ms.p50 },
          ]
        : []),
      { what: "the manager's memory, peak", unit: 'MB', below: 1500, measured: Math.round(peak / 1e6) },
      ...(restart
        ? [
            {
              what: 'killed manager ready again, every host known',
              unit: 's',
              below: 20,
              measured: Math.round(restart.wholeMs / 100) / 10,
            },
          ]
        : []),
    ];
    const { completed, failed, other } = migrations.ended;
    return {
      benchmark: 'scale',
      date: new Date().toISOString(),
      commit: commit(),
      machine: { cpu: os.cpus()[0]?.model, cpus: os.cpus().length, memoryGB: Math.round(os.totalmem() / 1e9), node: process.version },
      loadAverage: os.loadavg().map((load) => Math.round(load * 100) / 100),
      site: { hosts: hosts.length, vms: vms.length, clusters: new Set(plan.map(({ cluster }) => cluster)).size },
      load: {
        ...{ clients: options.clients, pauseMs: options.pauseMs, page: options.page, seconds: options.seconds, copyMs: options.copyMs },
        callsPerSecond: Math.round([...looked.times.values()].reduce((sum, { length }) => sum + length, 0) / options.seconds),
        migrations: { wanted: options.migrations, leastRunning, refusedOrders: migrations.refused },
        migrationsEndedPerSecond:
          Math.round(((completed + failed + other - endedBefore.completed - endedBefore.failed) / seconds) * 10) / 10,
      },
      targets: targets.map((target) => ({ ...target, met: isMet(target) })),
      operations,
      order: spread(migrations.orderMs),
      events: { migrations: phases, ends: spread(following.ends), vmStates, untold },
      ...(plans && { plans }),
      ...(restart && { restart }),
      memory: { peakMB: Math.round(peak / 1e6), nowMB: Math.round(memory.now / 1e6) },
      cpuOfOneCore: {
        manager: round((after.manager - before.manager) / seconds),
        sim: round((after.sim - before.sim) / seconds),
        bench: round((after.bench.user + after.bench.system - before.bench.user - before.bench.system) / 1e6 / seconds),
      },
      migrations: migrations.ended,
      failedCalls: { count: looked.failed.length, first: looked.failed[0] },
      lastRefusal: migrations.lastRefusal,
    };
  } finally {
    for (const step of undo.reverse()) await step();
    if (options.keep) say(`kept: ${folder}`);
  }
}

const round = (value: number): number => Math.round(value * 100) / 100;

async function resync(caller: Caller, migrations: Migrations): Promise<void> {
  const running = new Set<string>();
  let before = '';
  for (;;) {
    const page = await caller.call<{ id: string }[]>('GET', `/v1/migrations?running=true&limit=1000${before}`);
    for (const { id } of page) running.add(id);
    const last = page.at(-1);
    if (!last || page.length < 1000) break;
    before = `&before=${last.id}`;
  }
  migrations.keepOnly(running);
}

function commit(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim();
  try {
    return `${git('rev-parse', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with changes'}`;
  } catch {
    return 'unknown';
  }
}

export async function run(args: string[]): Promise<number> {
  let options: Values;
  try {
    options = readOptions(args);
  } catch (error) {
    process.stderr.write(`bench scale: ${error instanceof Error ? error.message : String(error)}\n${help}`);
    return 2;
  }
  if (options.help) {
    process.stdout.write(help);
    return 0;
  }
  const result = await measure(options, (words) => process.stderr.write(`${words}\n`));
  if (options.json) process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  else {
    for (const { what, unit, below, measured, met } of result.targets) {
      process.stdout.write(`${met ? 'met   ' : 'MISSED'} ${what}: ${measured} ${unit} (below ${below})\n`);
    }
    process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  }
  const { wanted, leastRunning } = result.load.migrations;
  return result.targets.every(({ met }) => met) && result.failedCalls.count === 0 && leastRunning >= 0.9 * wanted ? 0 : 1;
}
