/** What a Monitor and the QEMU behind it must do, run on the real one and on the fake alike. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import * as m from '../migration.ts';
import { QmpClient } from '../qmp/client.ts';
import { QmpError, type QmpErrorCode } from '../qmp/error.ts';
import { type Monitor, nextEvent } from '../qmp/monitor.ts';
import type { QmpEvent, RunState } from '../qmp/vocabulary.ts';
import { cont, queryRunState, quit, reset, stop } from '../run-state.ts';
import { startRelay } from './relay.ts';

export interface Subject extends AsyncDisposable {
  readonly monitor: Monitor;
  readonly qmpSocket: string;
  /** Resolves when it is gone. */
  gone(): Promise<void>;
}

/** @param directory for its files, removed afterwards */
export type OpenSubject = (options: { directory: string; paused: boolean; incoming: boolean }) => Promise<Subject>;

const withCode =
  (code: QmpErrorCode) =>
  (error: unknown): boolean =>
    error instanceof QmpError && error.code === code;

/** Events as words, `STOP` or `MIGRATION active`; those that may come any number of times are left out. */
export function record(monitor: Monitor): { words: string[]; events: QmpEvent[] } {
  const words: string[] = [];
  const events: QmpEvent[] = [];
  monitor.onEvent((event) => {
    if (!['STOP', 'RESUME', 'MIGRATION', 'SHUTDOWN'].includes(event.name)) return;
    words.push(event.data.status === undefined ? event.name : `${event.name} ${event.data.status}`);
    events.push(event);
  });
  return { words, events };
}

/** Polls, for where QEMU sends no event; the caller's test has no other end. */
async function untilRunState(monitor: Monitor, wanted: RunState): Promise<void> {
  while ((await queryRunState(monitor)) !== wanted) await new Promise(setImmediate);
}

async function inDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'hv-'));
  try {
    await run(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

const settings = (multifdChannels: number, role: 'source' | 'destination'): m.MigrationSettings => ({
  multifdChannels,
  bandwidthBytesPerSecond: 0,
  downtimeMs: 30,
  maxThrottlePercent: 80,
  role,
});

export function monitorCompliance(label: string, open: OpenSubject): void {
  describe(`${label}: conversation`, () => {
    const running = (run: (subject: Subject, directory: string) => Promise<void>) => () =>
      inDirectory(async (directory) => {
        await using subject = await open({ directory, paused: false, incoming: false });
        await run(subject, directory);
      });

    it(
      'answers each of several commands under way with its own answer, and refuses an unknown one',
      running(async ({ monitor }) => {
        assert.ok(monitor.version.major >= 7);
        const unknown = 'no-such-command' as 'query-status'; // the vocabulary would not let it through
        const [status, capabilities, refused] = await Promise.allSettled([
          monitor.execute('query-status'),
          monitor.execute('query-migrate-capabilities'),
          monitor.execute(unknown),
        ]);
        assert.ok(status.status === 'fulfilled' && status.value.running);
        assert.ok(capabilities.status === 'fulfilled' && capabilities.value.some(({ capability }) => capability === 'multifd'));
        assert.ok(refused.status === 'rejected' && refused.reason instanceof QmpError);
        assert.equal(refused.reason.code, 'command');
        assert.equal(refused.reason.qemuClass, 'CommandNotFound');
      }),
    );

    it(
      'reports STOP and RESUME with both clocks before the answers, and the run state',
      running(async ({ monitor }) => {
        const { words, events } = record(monitor);
        const before = process.hrtime.bigint();
        await stop(monitor);
        assert.equal(await queryRunState(monitor), 'paused');
        await cont(monitor);
        assert.equal(await queryRunState(monitor), 'running');
        assert.deepEqual(words, ['STOP', 'RESUME']);
        const [first, second] = events;
        assert.ok(first && second && before < first.receivedAt && first.receivedAt <= second.receivedAt);
        assert.ok(Math.abs(first.qemuMicroseconds / 1000 - Date.now()) < 60_000);
      }),
    );

    it(
      'resets a machine that runs and goes on; one that is paused is as if it had never run',
      running(async ({ monitor }) => {
        const words: string[] = [];
        monitor.onEvent(({ name }) => words.push(name));
        await reset(monitor);
        assert.equal(await queryRunState(monitor), 'running');
        await stop(monitor);
        await reset(monitor);
        await untilRunState(monitor, 'prelaunch');
        await cont(monitor);
        assert.equal(await queryRunState(monitor), 'running');
        assert.deepEqual(words, ['RESET', 'STOP', 'RESET', 'RESUME']);
      }),
    );

    it(
      'takes any limit for slowing the guest, and the capability only where there is one',
      running(async ({ monitor }) => {
        for (const maxThrottlePercent of [99, 0, 1, 19, 20, 80]) {
          await m.configureMigration(monitor, { ...settings(0, 'source'), maxThrottlePercent });
          const capabilities = await monitor.execute('query-migrate-capabilities');
          assert.equal(capabilities.find(({ capability }) => capability === 'auto-converge')?.state, maxThrottlePercent > 0);
          if (maxThrottlePercent === 0) continue;
          const parameters = await monitor.execute('query-migrate-parameters');
          assert.equal(parameters['max-cpu-throttle'], maxThrottlePercent);
          assert.equal(parameters['cpu-throttle-initial'], Math.min(20, maxThrottlePercent));
        }
      }),
    );

    it(
      'gives up when the caller does, and goes on',
      running(async ({ monitor }) => {
        await assert.rejects(monitor.execute('query-status', undefined, { signal: AbortSignal.abort() }), withCode('aborted'));
        const giveUp = new AbortController();
        const waiting = nextEvent(monitor, () => false, { signal: giveUp.signal });
        giveUp.abort();
        await assert.rejects(waiting, withCode('aborted'));
        assert.equal(await queryRunState(monitor), 'running');
      }),
    );

    it(
      'serves one client a socket, and the next when it has left',
      running(async ({ monitor, qmpSocket }) => {
        await assert.rejects(QmpClient.connect(qmpSocket, { deadlineMs: 100 }), withCode('timeout'));
        monitor.close();
        assert.equal((await monitor.closed).code, 'disconnected');
        const next = await QmpClient.connect(qmpSocket);
        assert.equal(await queryRunState(next), 'running');
        next.close();
      }),
    );

    it(
      'says SHUTDOWN and closes on quit, and rejects what comes later',
      running(async ({ monitor, gone }) => {
        const { words } = record(monitor);
        await quit(monitor);
        assert.equal((await monitor.closed).code, 'disconnected');
        await gone();
        assert.deepEqual(words, ['SHUTDOWN']);
        await assert.rejects(monitor.execute('query-status'), withCode('disconnected'));
      }),
    );

    it('has no QEMU where none listens', () =>
      inDirectory(async (directory) => {
        await assert.rejects(QmpClient.connect(join(directory, 'none')), withCode('disconnected'));
      }));
  });

  describe(`${label}: migration`, () => {
    interface Pair {
      readonly source: Subject;
      readonly destination: Subject;
      /** Where the source is to connect to, and where the destination listens. */
      readonly out: string;
      readonly into: string;
    }
    const pair = (multifdChannels: number, run: (pair: Pair) => Promise<void>) => () =>
      inDirectory(async (directory) => {
        await using source = await open({ directory: join(directory, 's'), paused: false, incoming: false });
        await using destination = await open({ directory: join(directory, 'd'), paused: true, incoming: true });
        await m.configureMigration(source.monitor, settings(multifdChannels, 'source'));
        await m.configureMigration(destination.monitor, settings(multifdChannels, 'destination'));
        await run({ source, destination, out: join(directory, 'out'), into: join(directory, 'in') });
      });
    const toPreSwitchover = async ({ source, destination, out, into }: Pair): Promise<void> => {
      await m.startIncoming(destination.monitor, into);
      await m.startOutgoing(source.monitor, out);
      await m.untilMigration(source.monitor, ['pre-switchover']);
    };

    for (const channels of [0, 2]) {
      it(
        `with ${channels} multifd channels stops before the switch-over, completes, and leaves the destination paused`,
        pair(channels, async (both) => {
          const { source, destination, out, into } = both;
          await using relay = await startRelay(out, into);
          const from = record(source.monitor);
          const to = record(destination.monitor);
          assert.deepEqual(await m.queryMigration(source.monitor), {
            status: 'none',
            ram: undefined,
            throttlePercent: 0,
            error: undefined,
          });
          await toPreSwitchover(both);
          assert.equal(await queryRunState(source.monitor), 'finish-migrate');
          assert.equal(await queryRunState(destination.monitor), 'inmigrate');
          await assert.rejects(m.configureMigration(source.monitor, settings(channels, 'source')), withCode('command'));

          await m.continueFromPreSwitchover(source.monitor);
          await m.untilMigration(source.monitor, ['completed']);
          await m.untilMigration(destination.monitor, ['completed']);
          assert.equal(await queryRunState(destination.monitor), 'paused');
          await untilRunState(source.monitor, 'postmigrate');
          while (relay.ended() < 1 + channels) await new Promise(setImmediate);
          const done = await m.queryMigration(source.monitor);
          assert.equal(done.status, 'completed');
          assert.ok(done.ram && done.ram.transferred > 0 && done.ram.remaining === 0 && done.ram.passes >= 1);

          await cont(destination.monitor);
          assert.equal(await queryRunState(destination.monitor), 'running');
          assert.deepEqual(from.words, [
            'MIGRATION setup',
            'MIGRATION active',
            'STOP',
            'MIGRATION pre-switchover',
            'MIGRATION device',
            'MIGRATION completed',
          ]);
          assert.deepEqual(to.words, ['MIGRATION setup', 'MIGRATION active', 'MIGRATION completed', 'RESUME']);
        }),
      );
    }

    it(
      'cancelled at pre-switchover runs on at the source, and the destination exits',
      pair(2, async (both) => {
        const { source, destination, out, into } = both;
        await using _relay = await startRelay(out, into);
        const from = record(source.monitor);
        await toPreSwitchover(both);
        await m.cancelMigration(source.monitor);
        await m.untilMigration(source.monitor, ['cancelled']);
        await untilRunState(source.monitor, 'running');
        assert.deepEqual(from.words.slice(-3), ['MIGRATION cancelling', 'RESUME', 'MIGRATION cancelled']);
        await destination.gone();
      }),
    );

    it(
      'cancelled while it copies runs on at the source, once a peer that reads nothing is gone, and can be tried again',
      pair(2, async ({ source, out }) => {
        await using relay = await startRelay(out, undefined);
        const from = record(source.monitor);
        for (let attempt = 1; attempt <= 2; attempt++) {
          await m.startOutgoing(source.monitor, out);
          await m.untilMigration(source.monitor, ['active']);
          await m.cancelMigration(source.monitor);
          await relay.cut();
          await m.untilMigration(source.monitor, ['cancelled']);
          assert.equal(await queryRunState(source.monitor), 'running');
        }
        const once = ['MIGRATION setup', 'MIGRATION active', 'MIGRATION cancelling', 'MIGRATION cancelled'];
        assert.deepEqual(from.words, [...once, ...once]);
      }),
    );

    it(
      'notices after migrate-continue that the sockets broke at pre-switchover, and runs on at the source',
      pair(0, async (both) => {
        const { source, out, into } = both;
        await using relay = await startRelay(out, into);
        await toPreSwitchover(both);
        await relay.cut();
        await m.continueFromPreSwitchover(source.monitor);
        await m.untilMigration(source.monitor, ['failed']);
        await untilRunState(source.monitor, 'running');
      }),
    );

    it(
      'of a paused VM gives no STOP, arrives paused, and cancelled shows postmigrate',
      pair(0, async (both) => {
        const { source, destination, out, into } = both;
        await using _relay = await startRelay(out, into);
        await stop(source.monitor);
        const from = record(source.monitor);
        await toPreSwitchover(both);
        await m.cancelMigration(source.monitor);
        await m.untilMigration(source.monitor, ['cancelled']);
        await untilRunState(source.monitor, 'postmigrate');
        assert.ok(!from.words.includes('STOP') && !from.words.includes('RESUME'));
        await destination.gone();
      }),
    );

    it(
      'to where nobody listens fails with QEMU’s reason',
      pair(0, async ({ source, out }) => {
        await m.startOutgoing(source.monitor, out);
        await m.untilMigration(source.monitor, ['failed']);
        const { error } = await m.queryMigration(source.monitor);
        assert.match(error ?? '', /connect/i);
        assert.equal(await queryRunState(source.monitor), 'running');
      }),
    );
  });
}
