/**
 * Removes what a crash has left of this agent's own: QEMUs, taps, directories that nothing accounts for any more. At the agent's start, and
 * then every minute. What it is not sure of stays, and is said once: above all a QEMU whose guest has run, which may be somebody's VM whose
 * definition went missing.
 *
 * Something that is just being made is never taken for a leftover: a VM is in {@link VmHost.list} before anything is made of it, and an attempt
 * is in the book of attempts before its directory; both are looked at in the same moment as the name is taken away.
 */
import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { cpuSeconds, type FoundQemu, findQemu, findQemusBelow, isAlive, killQemu, QmpClient, queryRunState } from '@sealift/hypervisor';
import type { Logger } from 'pino';
import type { AgentHost, Attempts } from './attempts.ts';
import { isFinal } from './migration/report.ts';
import { removeTap, tapName, tapsOf } from './vms/network.ts';
import { vmPaths } from './vms/paths.ts';

const everyMs = 60_000;
/** For a QEMU that nobody talks to: it answers at once or hangs. */
const askMs = 2_000;

/** Below a VM's directories there is nothing else of ours; where there is, somebody else has put it there. */
const runFiles = new Set(['qmp.sock', 'qmp-spare.sock', 'serial.sock', 'pid', 'seed.img']);
const stateFiles = new Set(['definition.json.new', 'serial.log', 'qemu.log']);
const migrationId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Of the host, what a sweep needs. */
type Swept = Pick<AgentHost, 'vms' | 'log'>;

export class Reaper {
  readonly #vms: Swept['vms'];
  readonly #log: Logger;
  readonly #attempts: Pick<Attempts, 'get'>;
  readonly #state: string;
  readonly #run: string;
  /** Process ids and paths that were said to stay. */
  readonly #said = new Set<string>();
  #reaped = 0;

  /** @param directories the agent's own, absolute; the lock on each is this agent's */
  constructor(host: Swept, attempts: Pick<Attempts, 'get'>, directories: { readonly state: string; readonly run: string }) {
    this.#vms = host.vms;
    this.#log = host.log.child({ part: 'reaper' });
    this.#attempts = attempts;
    this.#state = directories.state;
    this.#run = directories.run;
  }

  /** Sweeps every minute from now on. @returns what ends that, when a sweep that is under way has ended */
  repeat(): () => Promise<void> {
    const ending = new AbortController();
    let sweeping: Promise<unknown> = Promise.resolve();
    const timer = setInterval(() => {
      sweeping = sweeping.then(() => (ending.signal.aborted ? undefined : this.sweep()));
    }, everyMs);
    timer.unref();
    return async () => {
      clearInterval(timer);
      ending.abort();
      await sweeping;
    };
  }

  /** Never rejects: what could not be removed is logged, and tried again next time. @returns what was removed, in words */
  async sweep(): Promise<readonly string[]> {
    const reaped: string[] = [];
    const step = async (act: (done: (what: string, why: string) => void) => Promise<void>): Promise<void> => {
      try {
        await act((what, why) => {
          reaped.push(what);
          this.#log.warn({ why }, `removed ${what}`);
        });
      } catch (error) {
        this.#log.error({ err: error }, 'what a crash has left could not be removed; it is tried again in a minute');
      }
    };
    await step((done) => this.#qemus(done));
    await step((done) => this.#taps(done));
    await step((done) => this.#runDirectories(done));
    await step((done) => this.#migrations(done));
    await step((done) => this.#definitions(done));
    for (const root of [this.#run, this.#state]) await step(() => rm(join(root, 'reaped'), { recursive: true, force: true }));
    return reaped;
  }

  async #qemus(done: (what: string, why: string) => void): Promise<void> {
    for (const found of await findQemusBelow(join(this.#run, 'vms'))) {
      const name = basename(dirname(found.qmpSocket));
      const vm = this.#vms.find(name);
      const { pid, startTicks } = found.process;
      // One that is being started is its VM's as soon as it answers.
      if (vm && (vm.pid === pid || vm.reserved)) continue;
      if (vm && (await findQemu(vm.paths.pidfile, vm.paths.qmpSocket))?.pid === pid) {
        this.#sayOnce(
          `${pid}/${startTicks}`,
          { vm: name, pid },
          'a QEMU that this agent did not start runs a VM of its own; start the agent again and it takes it over',
        );
        continue;
      }
      if (await hasRun(found)) {
        const words = `a QEMU runs as ${name}, which this agent knows no VM for, and its guest has run: it is not ended. If it is not wanted: kill ${pid}`;
        this.#sayOnce(`${pid}/${startTicks}`, { vm: name, pid, socket: found.qmpSocket }, words);
        continue;
      }
      if (!(await isAlive(found.process))) continue; // somebody was just ending it
      await killQemu(found.process);
      done(`QEMU (process ${pid})`, `it was started as ${name}, no VM of this host accounts for it, and its guest has never run`);
    }
  }

  async #taps(done: (what: string, why: string) => void): Promise<void> {
    for (const tap of await tapsOf(this.#run)) {
      await this.#vms.whileNobodyStarts(async () => {
        if (this.#vms.list().some((vm) => vm.definition.nics.some((_, index) => tapName(vm.name, index) === tap))) return;
        await removeTap(tap);
        done(`the tap ${tap}`, 'no VM of this host has a NIC that it belongs to');
      });
    }
  }

  async #runDirectories(done: (what: string, why: string) => void): Promise<void> {
    const root = join(this.#run, 'vms');
    const used = new Set((await findQemusBelow(root)).map(({ qmpSocket }) => dirname(qmpSocket)));
    for (const name of directoriesIn(root)) {
      const directory = join(root, name);
      if (this.#vms.find(name) || used.has(directory) || !this.#holdsOnly(directory, runFiles)) continue;
      await this.#take(directory);
      done(directory, 'there is no such VM on this host');
    }
  }

  async #migrations(done: (what: string, why: string) => void): Promise<void> {
    const root = join(this.#run, 'migrations');
    for (const migration of directoriesIn(root)) {
      if (!migrationId.test(migration)) continue;
      const report = await this.#attempts.get(migration).catch(() => undefined);
      if (report && !isFinal(report)) continue;
      await this.#take(join(root, migration));
      done(join(root, migration), 'the migration has ended, or is not known here');
    }
  }

  async #definitions(done: (what: string, why: string) => void): Promise<void> {
    const root = join(this.#state, 'vms');
    for (const name of directoriesIn(root)) {
      const { stateDirectory, definition } = vmPaths(this.#state, this.#run, name);
      if (this.#vms.find(name) || existsSync(definition) || !this.#holdsOnly(stateDirectory, stateFiles)) continue;
      await this.#take(stateDirectory);
      done(stateDirectory, 'it has no definition: its VM was never made here, or has left');
    }
  }

  #holdsOnly(directory: string, ours: ReadonlySet<string>): boolean {
    const foreign = readdirSync(directory).filter((name) => !ours.has(name));
    if (foreign.length === 0) return true;
    this.#sayOnce(directory, { directory, foreign }, 'a directory without a VM holds files that are not the agent’s; it stays');
    return false;
  }

  /** Takes the name away at once, so that whoever wants it next makes it anew; then removes what it was. */
  #take(directory: string): Promise<void> {
    const reaped = join(directory.startsWith(`${this.#run}/`) ? this.#run : this.#state, 'reaped');
    mkdirSync(reaped, { recursive: true, mode: 0o700 });
    this.#reaped += 1;
    const taken = join(reaped, `${process.pid}-${this.#reaped}`);
    renameSync(directory, taken);
    return rm(taken, { recursive: true, force: true });
  }

  #sayOnce(key: string, details: object, words: string): void {
    if (this.#said.has(key)) return;
    this.#said.add(key);
    this.#log.error(details, words);
  }
}

const directoriesIn = (root: string): string[] =>
  readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);

/** Has its guest ever run, or does it hold one that could? QEMU's own word; where it cannot be asked, the time that its vCPUs have taken. */
async function hasRun({ process, qmpSocket }: FoundQemu): Promise<boolean> {
  for (const socket of [qmpSocket, join(dirname(qmpSocket), 'qmp-spare.sock')]) {
    try {
      const monitor = await QmpClient.connect(socket, { deadlineMs: askMs });
      try {
        const state = await queryRunState(monitor, { deadlineMs: askMs });
        return state !== 'prelaunch' && state !== 'inmigrate';
      } finally {
        monitor.close();
      }
    } catch {
      // Its socket is gone, or it hangs.
    }
  }
  const spent = await cpuSeconds(process.pid);
  return spent !== undefined && spent.vcpu > 0;
}
