/** The processes that are measured: simulated agents, and the manager with a database that knows them. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hostDnsName, type Identity, makeCertificates, managerDnsName } from '../../lab/src/certificates.ts';
import type { Moment } from '../../lab/src/sim/host.ts';
import type { SimMessage, SimOrders } from '../../lab/src/sim/main.ts';
import type { SimHostPlan } from '../../lab/src/sim/plan.ts';
import { openSqlite } from '../../packages/manager/src/store/sqlite.ts';

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** Rows that are on their way to the database at once. */
const seeded = 2_000;
const readyWithinMs = 120_000;

export interface Sim {
  readonly port: number;
  readonly keyHashes: ReadonlyMap<string, string>;
  readonly pid: number;
  close(): Promise<void>;
}

export const certify = (folder: string, plan: readonly SimHostPlan[]): Promise<ReadonlyMap<string, Identity>> =>
  makeCertificates(folder, [managerDnsName, ...plan.map(({ name }) => hostDnsName(name))]);

export async function startSim(orders: SimOrders, heard: (moments: readonly Moment[]) => void): Promise<Sim> {
  const child = fork(file('../../lab/src/sim/main.ts'), [JSON.stringify(orders)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ready = await new Promise<Extract<SimMessage, { type: 'ready' }>>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the simulated agents ended at once (${code})`)));
    child.on('message', (message) => {
      const said = message as SimMessage; // the program above says nothing else
      if (said.type === 'ready') resolve(said);
      else heard(said.moments);
    });
  });
  return { port: ready.port, keyHashes: new Map(ready.keyHashes), pid: child.pid ?? 0, close: () => ended(child, 'SIGTERM') };
}

/** What a manager of this site would remember, had it added each host and each VM one by one. */
export async function seed(state: string, plan: readonly SimHostPlan[], sim: Sim): Promise<void> {
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const store = await openSqlite(join(state, 'manager.db'));
  const now = Date.now();
  try {
    for (const name of new Set(plan.map(({ cluster }) => cluster))) {
      await store.policy.setCluster({
        name,
        encryption: 'opportunistic',
        limits: {},
        balance: { auto: false, bandPercent: 15, restMs: 0 },
      });
    }
    const hosts = plan.map(({ name, cluster }) => () => {
      const host = { name, endpoint: `127.0.0.1:${sim.port}`, keyHash: sim.keyHashes.get(name) ?? '', addedAt: now, lastSeenAt: now };
      return store.addHost({ ...host, cluster, maintenance: 'none' });
    });
    const vms = plan.flatMap(({ name: host, vms: all }) =>
      all.map((definition) => () => store.addVm({ name: definition.name, host, definition, createdAt: now })),
    );
    for (const rows of [hosts, vms]) {
      for (let from = 0; from < rows.length; from += seeded) {
        const done = await Promise.all(rows.slice(from, from + seeded).map((add) => add()));
        if (done.includes(false)) throw new Error('the database refused a host or a VM');
      }
    }
  } finally {
    await store.close();
  }
}

export interface ManagerProcess {
  readonly url: string;
  readonly pid: number;
  /** From its start until it said that it is ready, ms. */
  readonly readyMs: number;
  /** As the kernel counts it, bytes. */
  memory(): { readonly now: number; readonly peak: number };
  /** Of all its threads, seconds. */
  cpuSeconds(): number;
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

export async function startManager(folder: string, identity: Identity, port: number, profile?: string): Promise<ManagerProcess> {
  const begun = performance.now();
  const log = openSync(join(folder, 'manager.log'), 'a', 0o600);
  const args = [
    ...['manager', '--state', join(folder, 'state'), '--socket', join(folder, 'manager.sock'), '--listen', `127.0.0.1:${port}`],
    ...['--cert', identity.certificate, '--key', identity.key, '--ca', identity.ca],
  ];
  const env = profile === undefined ? process.env : { ...process.env, NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` };
  const child = spawn(file('../../bin/sealift'), args, { stdio: ['ignore', log, 'pipe'], env });
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('the manager was not ready in two minutes')), readyWithinMs);
    let said = '';
    child.once('exit', (code) => reject(new Error(`the manager ended (${code}): ${said.slice(-2000)}`)));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-10_000);
      if (!said.includes('"msg":"ready"')) return;
      clearTimeout(late);
      resolve();
    });
  });
  const { pid } = child;
  if (pid === undefined) throw new Error('the manager has no process');
  const status = (field: string): number => {
    const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kibibytes) * 1024;
  };
  return {
    url: `http://127.0.0.1:${port}`,
    pid,
    readyMs: performance.now() - begun,
    memory: () => ({ now: status('VmRSS'), peak: status('VmHWM') }),
    cpuSeconds: () => cpuSecondsOf(pid),
    end: (signal) => ended(child, signal),
  };
}

/** Fields 14 and 15 of proc_pid_stat(5), in hundredths of a second (sysconf(3), _SC_CLK_TCK). */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await exit;
}

/** One that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || !address) throw new Error('no port is free');
  return address.port;
}
