/**
 * Two hosts whose monotonic clocks are ten days apart, as two machines' are: one agent runs in a time namespace of its own. Figures are compared with
 * others of the same migration only.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { guestHost } from '../lab/src/lab/vm.ts';
import { Workload } from '../lab/src/workload/client.ts';
import type { Host, Migration } from '../packages/contract/src/index.ts';
import { TestLab } from './support/lab.ts';

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
  let agent: ChildProcess | undefined;

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
  });

  after(async () => {
    await workload?.stop();
    if (agent && agent.exitCode === null && agent.signalCode === null) {
      const gone = once(agent, 'exit');
      agent.kill('SIGKILL'); // and with it, by --kill-child, what it started
      await gone;
    }
    await lab?.[Symbol.asyncDispose]();
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

  for (const to of ['bravo', 'alpha', 'bravo', 'alpha'] as const) {
    it(`to ${to}: the switch-over time is one of this migration, and the client saw no less, within the error`, async () => {
      await workload.reset();
      const { stdout, stderr } = await lab.sealift('--json', 'vm', 'migrate', 'web', '--to', to);
      const { phase, result, failure }: Migration = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? stderr);
      assert.equal(phase, 'completed', failure?.message);
      const { guestGapMs, clientLagMs, lostWrites } = await workload.report();
      assert.ok(result);
      const { switchOverMs, switchOverErrorMs, migrationMs } = result;
      // From two clocks it would be ten days, or nothing.
      assert.ok(switchOverMs > 0 && switchOverMs < migrationMs, `${switchOverMs} ms of ${migrationMs} ms`);
      assert.ok(switchOverErrorMs >= 0 && switchOverErrorMs < migrationMs);
      const words = `switch-over ${switchOverMs} ± ${switchOverErrorMs} ms; the client saw a gap of ${guestGapMs} ms, and may itself be ${clientLagMs} ms late`;
      assert.ok(guestGapMs + clientLagMs >= switchOverMs - switchOverErrorMs, words);
      assert.equal(lostWrites, 0);
      console.log(words);
    });
  }
});
