import assert from 'node:assert/strict';
import { once } from 'node:events';
import { it } from 'node:test';
import type { AttemptReport, Migration } from '@sealift/contract';
import { pino } from 'pino';
import type { AgentLink } from '../agents/link.ts';
import { follow } from './follow.ts';

const migration: Migration = {
  ...{ id: '6c0ff9d2-0b3b-4d0f-9d36-4c1a3dcf1f50', vm: 'web', from: 'alpha', to: 'bravo', suite: 'aes-256-gcm' },
  ...{ attempt: 1, phase: 'preparing', orderedAt: 1 },
};

it('hears of progress seldom, and of all of it once somebody watches', async () => {
  const asked: number[] = [];
  const watched = new AbortController();
  const link = (role: AttemptReport['role']) => {
    const say = (phase: AttemptReport['phase']): AttemptReport => ({ migration: migration.id, attempt: 1, role, vm: 'web', phase });
    return {
      host: role,
      async *watchAttempt(_migration: string, progressSeconds: number, signal: AbortSignal) {
        asked.push(progressSeconds);
        yield say('copying');
        if (progressSeconds === 0) {
          yield say('completed');
          return;
        }
        await once(signal, 'abort');
        throw signal.reason;
      },
    } as unknown as AgentLink; // all that is called of it
  };
  const phases = new Set<string>();
  await follow({
    ...{ source: link('source'), destination: link('destination'), migration, channels: 1, begunAt: 1, doubt: undefined },
    log: pino({ level: 'silent' }),
    signal: new AbortController().signal,
    watched: watched.signal,
    record: async ({ migration: { phase } }) => {
      phases.add(phase);
      watched.abort();
    },
  });
  assert.deepEqual(asked, [2, 2, 0, 0]);
  assert.deepEqual([...phases].at(-1), 'completed');
});
