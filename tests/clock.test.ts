/**
 * Two hosts whose monotonic clocks are ten days apart, as two machines' are: one agent runs in a time namespace of its own. What it reports is compared
 * with what a client saw, both ways, and with what the two QEMUs say; figures of the same migration only, so that no machine is too slow for it.
 *
 *     client   answer answer answer ·  ·  ·  ·  ·  ·  ·  ·  ·  announcement  ·  ·  · answer
 *                             ├────────── observed ──────────┤
 *     QEMUs                   ├ a ┤ STOP ────────── RESUME ├ b ┤
 *
 * The client asks each 2 ms and asks nothing twice. What it observes is the switch-over and (a) how long the guest had said nothing when it was stopped,
 * (b) how long the announcement took. The times of frames are the kernel's, taken at the client's interface, and those of the events are QEMU's: the
 * wall clock, which a time namespace leaves alone.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Frame, framesOf, type Interval, silenceAround } from '../lab/src/capture/silence.ts';
import { Capture } from '../lab/src/capture/tcpdump.ts';
import { QmpWatch } from '../lab/src/chaos/qmp-watch.ts';
import { guestHost, guestName } from '../lab/src/lab/vm.ts';
import { Workload } from '../lab/src/workload/client.ts';
import { Prober } from '../lab/src/workload/prober.ts';
import type { Host, Migration } from '../packages/contract/src/index.ts';
import { TestLab } from './support/lab.ts';

/** Of the lab's only guest. */
const guestMac = '52:54:00:5e:a1:01';
const offsetSeconds = 10 * 86_400;
/** unshare(1) of util-linux, and a kernel with time namespaces. */
const canOffset = ((): boolean => {
  try {
    execFileSync('unshare', ['--time', '--monotonic', '1', '--fork', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe('two hosts whose clocks are ten days apart', { skip: !canOffset && 'needs root and time namespaces' }, () => {
  let lab: TestLab;
  let workload: Workload;
  let prober: Prober | undefined;
  let agent: ChildProcess | undefined;
  let folder: string;
  const watches = new Map<string, QmpWatch>();

  const agentOf = (host: string): { pid: number; argv: string[]; namespace: string } => {
    const namespace = lab.plan.hosts.find(({ name }) => name === host)?.namespace ?? '';
    const pids = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' }).split('\n').filter(Boolean).map(Number);
    for (const pid of pids) {
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
      if (/\/node$/.test(argv[0] ?? '') && argv.includes('agent') && argv.includes(host)) return { pid, argv, namespace };
    }
    throw new Error(`no agent runs at ${host}`);
  };

  before(async () => {
    lab = await TestLab.up();
    const { pid, argv, namespace } = agentOf('bravo');
    process.kill(pid, 'SIGTERM');
    for (let there = true; there; await sleep(50))
      there = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' }).includes(`${pid}\n`);
    const clocks = ['--time', '--monotonic', String(offsetSeconds), '--boottime', String(offsetSeconds)];
    agent = spawn('ip', ['netns', 'exec', namespace, 'unshare', ...clocks, '--fork', '--kill-child', ...argv], { stdio: 'ignore' });
    while ((await lab.json<Host>('host', 'show', 'bravo')).state !== 'connected') await sleep(200);
    workload = new Workload({ namespace: lab.plan.client.namespace, host: guestHost, connections: 4, writesPerSecond: 400 });
    const deadline = performance.now() + 120_000;
    while (
      !(await workload.checker().then(
        () => true,
        () => false,
      ))
    ) {
      assert.ok(performance.now() < deadline, 'the guest does not answer');
      await sleep(200);
    }
    await workload.start();
    folder = await mkdtemp(join(tmpdir(), 'clock-'));
    prober = await Prober.start({ namespace: lab.plan.client.namespace, address: guestHost, intervalMs: 2 });
    for (const host of ['alpha', 'bravo']) {
      watches.set(host, new QmpWatch(host, join(lab.paths.agentRun(host), 'vms', guestName, 'qmp-spare.sock')));
    }
  });

  after(async () => {
    for (const watch of watches.values()) watch[Symbol.dispose]();
    const stopped = prober?.stop();
    await stopped?.catch(() => {}); // told below, when everything is ended
    await workload?.stop();
    if (folder) await rm(folder, { recursive: true });
    if (agent && agent.exitCode === null && agent.signalCode === null) {
      const gone = once(agent, 'exit');
      agent.kill('SIGKILL'); // and with it, by --kill-child, what it started
      await gone;
    }
    await lab?.[Symbol.asyncDispose]();
    await stopped;
  });

  it('are really apart', () => {
    const uptime = (host: string): number =>
      Number(
        execFileSync('nsenter', ['--time', '--target', String(agentOf(host).pid), 'cat', '/proc/uptime'], { encoding: 'utf8' }).split(
          ' ',
        )[0],
      );
    assert.ok(uptime('bravo') - uptime('alpha') > offsetSeconds - 3600);
  });

  /** Of the migration under way: when the source's QEMU stopped the guest, and when the destination's let it run. */
  const stop = async (from: string, to: string): Promise<Interval> => {
    for (;;) {
      const [stopped, ran] = [watches.get(from)?.ran.at(-1)?.until, watches.get(to)?.ran.at(-1)];
      if (stopped !== undefined && ran?.until === undefined && ran !== undefined) return { from: stopped, to: ran.from };
      await sleep(10);
    }
  };

  /** Moves the guest while the client's interface is captured. */
  const moved = async (to: string): Promise<{ migration: Migration; frames: readonly Frame[] }> => {
    const file = join(folder, 'client.pcap');
    const capture = await Capture.start({ namespace: lab.plan.client.namespace, interface: 'vm0', file });
    try {
      const { status, stdout, stderr } = await lab.sealift('--json', 'vm', 'migrate', guestName, '--to', to);
      assert.equal(status, 0, `vm migrate: ${stdout}${stderr}`);
      const migration: Migration = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
      await capture.stop();
      return { migration, frames: await framesOf(file, guestMac) };
    } finally {
      await capture.abandon();
    }
  };

  for (const [from, to] of [
    ['alpha', 'bravo'],
    ['bravo', 'alpha'],
    ['alpha', 'bravo'],
    ['bravo', 'alpha'],
  ] as const) {
    it(`to ${to}: the switch-over time is one of this migration, and what the client observed, within the error`, async () => {
      await workload.reset();
      const { migration, frames } = await moved(to);
      const { phase, result, failure } = migration;
      assert.equal(phase, 'completed', failure?.message);
      const { guestGapMs, clientLagMs, lostWrites } = await workload.report();
      assert.ok(result);
      const { switchOverMs, switchOverErrorMs, migrationMs } = result;
      const [least, most] = [switchOverMs - switchOverErrorMs, switchOverMs + switchOverErrorMs];
      // From two clocks it would be ten days, or nothing.
      assert.ok(switchOverMs > 0 && most < migrationMs, `${switchOverMs} ms of ${migrationMs} ms`);
      assert.ok(switchOverErrorMs >= 0 && least >= 0);

      const stopped = await stop(from, to);
      const silence = silenceAround(frames, stopped);
      assert.ok(silence, 'the client heard nothing of the guest');
      const observed = silence.to - silence.from;
      // Below zero where the last answer was still on its way to the client when the guest stopped.
      const before = stopped.from - silence.from;
      const announcement = silence.to - stopped.to;
      const words =
        `switch-over ${digits(switchOverMs)} ± ${digits(switchOverErrorMs)} ms, by QEMU ${digits(stopped.to - stopped.from)} ms; ` +
        `the client observed ${digits(observed)} ms: ${digits(before)} ms of them before the stop, ${digits(announcement)} ms until the announcement; ` +
        `its writes' gap was ${digits(guestGapMs)} ms, and may itself be ${digits(clientLagMs)} ms late`;
      console.log(words);
      assert.ok(observed + Math.max(0, -before) >= least, words);
      assert.ok(observed - Math.max(0, before) - announcement <= most, words);
      assert.ok(guestGapMs + clientLagMs >= least, words);
      assert.ok(announcement >= 0, `a sign of the guest before it ran: ${words}`);
      assert.ok(silence.first.announcement, `the guest spoke before it was announced: ${words}`);
      assert.equal(lostWrites, 0);
    });
  }
});

const digits = (ms: number): string => ms.toFixed(3);
