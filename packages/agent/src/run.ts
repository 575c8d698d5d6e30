/** The daemon: checks the host, takes hold of what runs, serves, and lets go of it again. */
import { randomUUID } from 'node:crypto';
import { mkdir, stat } from 'node:fs/promises';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import type { agentApi } from '@sealift/contract';
import { checkSocketPath, chooseAccelerator, HypervisorError, probeQemu, readKvmFacts } from '@sealift/hypervisor';
import type { Logger } from 'pino';
import { createHandlers } from './api/handlers.ts';
import { createServer, type Handlers } from './api/server.ts';
import type { AgentHost, Attempts, CreateAttempts } from './attempts.ts';
import { CannotStart, reasonOf } from './cannot-start.ts';
import { type Certificates, readCertificates } from './certificates.ts';
import { Images } from './disks/images.ts';
import { type PoolSetup, Pools } from './disks/pools.ts';
import { DiskWatch } from './disks/watch.ts';
import { HostReporter, noSealReason, type Observed, type QemuFacts, readCpuFacts } from './host-report.ts';
import { Journal, JournalCorrupt, JournalError } from './journal.ts';
import { lock } from './lock.ts';
import { AdoptedVms } from './observe/adopted.ts';
import { HostLoad } from './observe/host-load.ts';
import { repeat } from './observe/repeat.ts';
import { VmWatch } from './observe/vm-stats.ts';
import { type AgentOptions, defaultPool, type ListenAddress } from './options.ts';
import { Reaper } from './reaper.ts';
import { VmHost } from './vms/host.ts';

export interface RunningAgent {
  readonly host: AgentHost;
  readonly attempts: Attempts;
  /** Where its API is served. */
  readonly endpoint: string;
  /** Stops serving. QEMUs run on. */
  stop(): Promise<void>;
}

/**
 * Resolves when the agent serves.
 * @throws CannotStart with one sentence for the administrator; nothing that was begun is left
 */
export async function runAgent(options: AgentOptions, createAttempts: CreateAttempts, version: string, log: Logger): Promise<RunningAgent> {
  if (process.getuid?.() !== 0) throw new CannotStart('the agent makes taps and runs VMs, which takes root; start it as root');
  const certificates = readCertificates(options.name, options);
  const qemu = await findQemuFacts(options);
  await prepareDirectories(options);
  const pools = await preparePools(options);
  for (const address of [options.listen, ...options.migrationListen]) await requireFree(address);

  const closing: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (let close = closing.pop(); close; close = closing.pop()) await close();
  };
  try {
    closing.push(lock(join(options.state, 'lock'), options.state));
    closing.push(lock(join(options.run, 'lock'), options.run));
    const journal = openJournal(join(options.state, 'journal'), log);
    closing.push(() => journal.close());
    const vms = await openVms(options, pools, qemu, log);
    closing.push(() => vms.close());
    const host: AgentHost = {
      identity: { name: options.name, keyHash: certificates.keyHash },
      certificates,
      vms,
      journal,
      migrationListen: options.migrationListen,
      runDirectory: join(options.run, 'migrations'),
      threads: options.threads,
      keylog: options.keylog,
      breakpoints: options.breakpoints,
      noSeal: options.noSeal,
      log,
    };
    const attempts = createAttempts(host);
    closing.push(() => attempts.close());
    await attempts.recover();
    const reaper = new Reaper(host, attempts, options);
    await reaper.sweep();
    closing.push(reaper.repeat());
    const observed = await observe(options, host);
    closing.push(observed.stop);
    const reporter = new HostReporter(host, attempts, observed, { qemu, cpu: await readCpuFacts(), version });
    const images = new Images(vms.disks, () => vms.list().map(({ definition }) => definition), log);
    const handlers = createHandlers(host, attempts, reporter, images);
    const server = await serve(options.listen, handlers, certificates, log, () => reporter.revision());
    closing.push(() => server.close());
    log.info({ listen: options.listen.endpoint, qemu: qemu.capabilities.versionText, accel: qemu.accel, vms: vms.list().length }, 'ready');
    return { host, attempts, endpoint: options.listen.endpoint, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function findQemuFacts(options: AgentOptions): Promise<QemuFacts> {
  try {
    const capabilities = await probeQemu(options.qemu);
    const accel = chooseAccelerator(options.accel, capabilities.accelerators, await readKvmFacts());
    // What CPUs it gives depends on the accelerator.
    return { capabilities: accel === 'tcg' ? capabilities : await probeQemu(options.qemu, { accel }), accel };
  } catch (error) {
    if (error instanceof HypervisorError) throw new CannotStart(error.message, { cause: error });
    throw error;
  }
}

async function prepareDirectories(options: AgentOptions): Promise<void> {
  for (const directory of [join(options.state, 'vms'), join(options.run, 'vms'), join(options.run, 'migrations')]) {
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new CannotStart(`${directory} cannot be made: ${reasonOf(error)}`, { cause: error });
    }
  }
  try {
    checkSocketPath(join(options.run, 'migrations', randomUUID(), 'channel-255.sock'));
  } catch (error) {
    throw new CannotStart(`--run ${options.run} is too long: the sockets in it would not fit into what Linux allows`, { cause: error });
  }
}

/** The agent's own pool is made; a directory that it was given may be one that is not mounted, and is not. */
async function preparePools({ name: host, state, pools = [] }: AgentOptions): Promise<Pools> {
  const own = defaultPool(state);
  const all: readonly PoolSetup[] = pools.length > 0 ? pools : [own];
  for (const { name, path } of all) {
    try {
      if (path === own.path) await mkdir(path, { recursive: true, mode: 0o700 });
      else if (!(await stat(path)).isDirectory()) throw new Error('it is no directory');
    } catch (error) {
      throw new CannotStart(`--pool ${name}=${path} cannot be used: ${reasonOf(error)}; make the directory, or mount it, first`, {
        cause: error,
      });
    }
  }
  return new Pools(host, all);
}

/** Is the address this host's, and the port nobody's? */
async function requireFree({ host, port, endpoint }: ListenAddress): Promise<void> {
  const probe = createTcpServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  probe.once('error', reject).listen({ host, port, exclusive: true }, resolve);
  try {
    await promise;
  } catch (error) {
    throw cannotListen(endpoint, error);
  }
  await new Promise((closed) => probe.close(closed));
}

function cannotListen(endpoint: string, error: unknown): CannotStart {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const why =
    code === 'EADDRINUSE'
      ? 'the port is taken; is another agent running?'
      : code === 'EADDRNOTAVAIL'
        ? 'this host does not have the address'
        : reasonOf(error);
  return new CannotStart(`cannot listen on ${endpoint}: ${why}`, { cause: error });
}

function openJournal(path: string, log: Logger): Journal {
  try {
    const journal = Journal.open(path);
    if (journal.droppedBytes > 0) {
      log.warn({ journal: path, bytes: journal.droppedBytes }, 'the last record was not finished when the host went down; it was dropped');
    }
    return journal;
  } catch (error) {
    if (error instanceof JournalCorrupt || error instanceof JournalError) throw new CannotStart(error.message, { cause: error });
    throw error;
  }
}

async function openVms(options: AgentOptions, pools: Pools, qemu: QemuFacts, log: Logger): Promise<VmHost> {
  try {
    return await VmHost.open({
      state: options.state,
      run: options.run,
      qemu: { binary: options.qemu, accel: qemu.accel },
      memoryMiB: options.memoryMiB,
      pools,
      log,
    });
  } catch (error) {
    throw new CannotStart(`the VMs of this host cannot be taken up: ${reasonOf(error)}`, { cause: error });
  }
}

/** Looks at the host, at its VMs and at adopted QEMUs from now on. */
async function observe(options: AgentOptions, host: AgentHost): Promise<Observed & { readonly stop: () => void }> {
  const { noSeal, adopt = [] } = options;
  if (noSeal) host.log.warn({ why: noSealReason(options.name) }, 'THIS HOST SEALS NOTHING: every migration from and to it is clear');
  for (const { name } of adopt) {
    if (host.vms.find(name)) throw new CannotStart(`--adopt ${name}: this host has a VM of that name; adopt the QEMU by another name`);
  }
  const load = new HostLoad(options.migrationListen.map((address) => address.host));
  const watch = new VmWatch(host.vms);
  const adopted = new AdoptedVms(adopt, host.log.child({ part: 'adopted' }));
  const disks = new DiskWatch(host.vms.disks, () => host.vms.list());
  await Promise.all([load.look(), adopted.look(), disks.look()]);
  const stops = [load, watch, adopted, disks].map((looker) => repeat(() => looker.look()));
  const stop = (): void => {
    for (const end of stops) end();
  };
  return { load, watch, adopted, disks, stop };
}

async function serve(
  listen: ListenAddress,
  handlers: Handlers<typeof agentApi>,
  certificates: Certificates,
  log: Logger,
  revision: () => string,
) {
  const server = await createServer(handlers, certificates, log, revision);
  try {
    await server.listen({ host: listen.host, port: listen.port });
    return server;
  } catch (error) {
    await server.close();
    throw cannotListen(listen.endpoint, error);
  }
}
