/** One run: a migration, struck at a stage, healed, waited for and judged. */
import { setTimeout as sleep } from 'node:timers/promises';
import { finalPhases } from '@sealift/contract';
import { type HostState, hostState } from '../lab/host-state.ts';
import { guestName } from '../lab/vm.ts';
import { isAlive } from '../system/process.ts';
import { hostNames } from '../topology/plan.ts';
import { slotsPerConnection } from '../workload/load.ts';
import { nameOf, type Run } from './cells.ts';
import { connections, type Ground } from './ground.ts';
import { stepsOf } from './journals.ts';
import { type Account, type Facts, judge } from './judge.ts';
import { reach, shown } from './stages.ts';
import { type Hosts, strike } from './strike.ts';
import { until } from './until.ts';

/** From the healing to both agents and the manager agreeing that it is over: the agents' own limits are below 90 s. */
const settleWithinMs = 150_000;
const tidyWithinMs = 20_000;
const readWithinMs = 60_000;
/** The agent's own patience is as long, see `untilReleased` in packages/hypervisor. */
const letGoWithinMs = 10_000;

/** @throws Error where the ground itself gives way */
export const perform = async (ground: Ground, run: Run): Promise<Account> => {
  const begun = performance.now();
  const { host: source } = await ground.vm();
  const hosts: Hosts = { source, destination: hostNames.find((name) => name !== source) ?? '' };
  const beganAt = Date.now();
  await ground.workload.reset();
  const before = await ground.workload.report();

  const held = await reach(ground, run.cell.stage, hosts);
  const id = held.migration;
  let struckAt = Date.now();
  if (held.reached) {
    // A grant on its way is not there for long.
    await sleep(run.cell.stage === 'grant sent' ? run.strikeAfterMs / 20 : run.strikeAfterMs, undefined, { signal: ground.signal });
    const struck = await strike(ground, run, hosts);
    struckAt = struck.at;
    await sleep(run.releaseAfterMs, undefined, { signal: ground.signal });
    await held.letGo();
    await sleep(run.healAfterMs, undefined, { signal: ground.signal });
    await struck.heal();
  } else {
    await held.letGo();
  }

  const settled = await settles(ground, id, hosts);
  const migration = await shown(ground, id);
  const vm = await ground.vm();
  const running = [...ground.watches.values()].some((watch) => watch.running);
  const client = running ? await askClient(ground, before) : undefined;
  const facts: Facts = {
    ...hosts,
    stage: run.cell.stage,
    killed: killedBy(run),
    struckAt,
    settled,
    phase: migration?.phase ?? 'unknown',
    vm,
    steps: {
      source: await stepsOf(ground.lab.paths, hosts.source, id),
      destination: await stepsOf(ground.lab.paths, hosts.destination, id),
    },
    ran: [...ground.watches.values()].flatMap(({ ran }) => ran.filter(({ until }) => until === undefined || until > beganAt)),
    client,
    held: running && !(await letsGo(ground, vm.host)),
    sourceAgentKilled: run.cell.fault === 'SIGKILL' && (run.cell.victim === 'source agent' || run.cell.victim === 'both agents'),
    leftovers: await leftovers(ground, running ? vm.host : undefined),
    dead: await deadDaemons(ground),
  };
  const { outcome, violations } = judge(facts);
  return {
    run,
    migration: id,
    source,
    outcome,
    held: facts.held,
    violations: held.reached ? violations : [`the stage was not reached: ${nameOf(run.cell)}`, ...violations],
    phase: facts.phase,
    failure: migration?.failure && `${migration.failure.code}: ${migration.failure.message}`,
    acknowledged: client?.acknowledged ?? 0,
    guestGapMs: client?.guestGapMs ?? 0,
    tookMs: performance.now() - begun,
  };
};

const killedBy = ({ cell: { victim, fault } }: Run): Facts['killed'] => {
  if (fault !== 'SIGKILL') return undefined;
  if (victim === 'source QEMU') return 'source';
  return victim === 'destination QEMU' ? 'destination' : undefined;
};

/** Both journals say `ended`, where they know of it, and so does the manager; and it shows the VM where it looked last. */
const settles = async (ground: Ground, id: string, { source, destination }: Hosts): Promise<boolean> => {
  const over = await until(
    async () => {
      const migration = await shown(ground, id);
      if (!migration || !finalPhases.includes(migration.phase) || migration.endedAt === undefined) return false;
      const journals = await Promise.all([source, destination].map((host) => stepsOf(ground.lab.paths, host, id)));
      if (journals.some((steps) => steps.length > 0 && steps.at(-1) !== 'ended')) return false;
      const vm = await ground.manager.getVm({ params: { vm: guestName } }, ground.signal).catch(() => undefined);
      return vm !== undefined && ['running', 'paused', 'crashed', 'stopped'].includes(vm.state);
    },
    { withinMs: settleWithinMs, everyMs: 100, signal: ground.signal },
  );
  return over === true;
};

/** Writes every slot once more, and so reads it. */
const askClient = async (ground: Ground, before: { acknowledgedWrites: number; lostWrites: number; wrongValues: number }) => {
  const { workload, signal } = ground;
  const { acknowledgedWrites } = await workload.report();
  // Connections take turns as the guest answers them, not strictly: twice as many make sure of each.
  const enough = acknowledgedWrites + 2 * connections * slotsPerConnection;
  const read = await until(async () => (await workload.report()).acknowledgedWrites >= enough, { withinMs: readWithinMs, signal });
  const { guestGapMs, ...after } = await workload.report();
  const checker = await workload.checker().catch(() => undefined);
  return {
    acknowledged: after.acknowledgedWrites - before.acknowledgedWrites,
    lost: after.lostWrites - before.lostWrites,
    wrong: after.wrongValues - before.wrongValues,
    checkerErrors: checker?.errors ?? 0,
    guestGapMs,
    ...(!read && { problem: `the client got too few answers within ${readWithinMs / 1000} s` }),
  };
};

/** QEMU is done with the migration behind the scenes, too: see docs/adr/0009. */
const letsGo = async (ground: Ground, host: string): Promise<boolean> => {
  const watch = ground.watches.get(host);
  return (await until(async () => !(await watch?.holdsMigration()), { withinMs: letGoWithinMs, signal: ground.signal })) === true;
};

/** What the hosts have that they should not. @param home where the VM runs; undefined: nowhere */
const leftovers = async (ground: Ground, home: string | undefined): Promise<readonly string[]> => {
  let found: readonly string[] = [];
  await until(
    () => {
      found = hostNames.flatMap((host) => leftoversAt(ground, host, host === home));
      return found.length === 0;
    },
    { withinMs: tidyWithinMs, everyMs: 250, signal: ground.signal },
  );
  return found;
};

const leftoversAt = (ground: Ground, host: string, withVm: boolean): readonly string[] => {
  const reference = ground.references.get(`${host} ${withVm ? 'with' : 'without'}`);
  let now: HostState;
  try {
    now = hostState(ground.lab, host);
  } catch (error) {
    return [`${host} could not be looked at: ${error}`]; // a directory went while it was listed
  }
  if (!reference) return [`${host}: nothing is known to compare with`];
  const files = now.files.filter((file) => !reference.files.includes(file));
  return [
    ...(now.qemus.length === reference.qemus.length ? [] : [`${now.qemus.length} QEMUs at ${host}`]),
    ...(now.taps.length === reference.taps.length ? [] : [`${now.taps.length} taps at ${host}`]),
    // A VM that crashed stays defined where it was.
    ...(withVm || now.qemus.length > 0 ? files : files.filter((file) => !file.endsWith('/definition.json') && !/\/vms\/[^/]+$/.test(file))),
    ...(now.channelSockets === 0 ? [] : [`${now.channelSockets} sockets of channels at ${host}`]),
    ...now.openAttempts.map((attempt) => `attempt ${attempt} is open at ${host}`),
  ];
};

const deadDaemons = async (ground: Ground): Promise<readonly string[]> => {
  const daemons = await Promise.all(['manager', ...hostNames].map(async (name) => ({ name, id: await ground.daemon(name) })));
  return daemons.filter(({ id }) => !isAlive(id)).map(({ name }) => name);
};
