/** An agent that is killed in the middle of a migration kills no VM, and clears up when it is back. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host, Migration, Vm } from '../packages/contract/src/index.ts';
import { TestLab } from './support/lab.ts';

describe('an agent that is killed while a VM is copied', () => {
  let lab: TestLab;
  const restarted: ChildProcess[] = [];

  before(async () => {
    lab = await TestLab.up();
  });

  after(async () => {
    for (const agent of restarted) {
      if (agent.exitCode !== null || agent.signalCode !== null) continue;
      agent.kill('SIGKILL');
      await once(agent, 'exit');
    }
    await lab?.[Symbol.asyncDispose]();
  });

  const agentOf = (host: string): { pid: number; argv: string[]; namespace: string } => {
    const namespace = lab.plan.hosts.find(({ name }) => name === host)?.namespace ?? '';
    const pids = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' }).split('\n').filter(Boolean).map(Number);
    for (const pid of pids) {
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
      if (argv.includes('agent') && argv.includes(host)) return { pid, argv, namespace };
    }
    throw new Error(`no agent runs at ${host}`);
  };

  const killAndRestart = async (host: string): Promise<void> => {
    const { pid, argv, namespace } = agentOf(host);
    process.kill(pid, 'SIGKILL');
    await sleep(500);
    restarted.push(spawn('ip', ['netns', 'exec', namespace, ...argv], { stdio: 'ignore' }));
    while ((await lab.json<Host>('host', 'show', host)).state !== 'connected') await sleep(200);
  };

  const ended = async (id: string): Promise<Migration> => {
    for (;;) {
      const now = await lab.json<Migration>('migration', 'show', id);
      if (now.endedAt !== undefined) return now;
      await sleep(200);
    }
  };

  for (const host of ['alpha', 'bravo'] as const) {
    it(`at ${host}: the guest runs on at the source, nothing else is left, and it can be moved`, async () => {
      const { id } = await lab.json<Migration>('vm', 'migrate', 'web', '--to', 'bravo', '--bandwidth', '3M', '--detach');
      while ((await lab.json<Migration>('migration', 'show', id)).phase !== 'copying') await sleep(100);
      const { qemus } = lab.hostState('alpha');
      await killAndRestart(host);
      assert.equal((await ended(id)).phase, 'failed');
      const vm = await lab.json<Vm>('vm', 'show', 'web');
      assert.deepEqual([vm.host, vm.state], ['alpha', 'running']);
      await lab.comesTo({ qemus, openAttempts: [] }, () => {
        const { qemus, openAttempts } = lab.hostState('alpha');
        return { qemus, openAttempts }; // it is the same QEMU
      });
      await lab.comesTo({ qemus: [], taps: [], openAttempts: [], channelSockets: 0 }, () => {
        const { qemus, taps, openAttempts, channelSockets } = lab.hostState('bravo');
        return { qemus, taps, openAttempts, channelSockets };
      });

      const there = await lab.sealift('vm', 'migrate', 'web', '--to', 'bravo');
      assert.equal(there.status, 0, there.stderr);
      const back = await lab.sealift('vm', 'migrate', 'web', '--to', 'alpha');
      assert.equal(back.status, 0, back.stderr);
    });
  }
});
