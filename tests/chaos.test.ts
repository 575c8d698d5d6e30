/** Some of `npm run chaos`: every stage, everyone who can be struck and every kind of fault is among them. All of it: docs/chaos.md. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { cells, nameOf, runOf } from '../lab/src/chaos/cells.ts';
import { Ground } from '../lab/src/chaos/ground.ts';
import type { Outcome } from '../lab/src/chaos/judge.ts';
import { perform } from '../lab/src/chaos/perform.ts';
import { labOf } from '../lab/src/lab/lifecycle.ts';

const seed = 157;
/** Before the file's own limit, so that the lab is taken down. */
const wholeMs = 280_000;

const [source, destination] = ['runs at the source', 'runs at the destination'] as const;
/** What each comes to; `either` where that is a matter of moments, and the journals say which it is to be. */
const chosen: Record<string, Outcome | 'either'> = {
  'preparing / manager / SIGSTOP': destination,
  'hello / destination QEMU / SIGKILL': source,
  'pre-copy / migration link / cut one way': source,
  'paused / source QEMU / SIGKILL': 'lost',
  'grant sent / migration link / cut': 'either',
  'grant received / management link / cut one way': destination,
  'loaded / destination QEMU / SIGKILL': source,
  'recorded / both agents / SIGKILL': destination,
  'running / destination agent / SIGSTOP': destination,
  'releasing / source agent / SIGKILL': destination,
  'releasing / management link / slow': destination,
};

describe('a migration that is struck', () => {
  const lab = labOf(`c${randomBytes(3).toString('hex')}`);
  const limit = AbortSignal.timeout(wholeMs);
  let ground: Ground | undefined;
  const down = async (): Promise<void> => {
    await ground?.[Symbol.asyncDispose]();
    ground = undefined;
  };
  after(down);

  for (const cell of cells.filter((each) => nameOf(each) in chosen)) {
    it(`${nameOf(cell)}: ${chosen[nameOf(cell)]}`, async () => {
      try {
        ground ??= await Ground.up(lab, limit, () => undefined);
        const { outcome, violations, failure } = await perform(ground, runOf(cell, seed, 0));
        assert.deepEqual(violations, [], failure);
        if (chosen[nameOf(cell)] !== 'either') assert.equal(outcome, chosen[nameOf(cell)]);
        if (outcome === 'lost') await ground.boot();
      } catch (error) {
        await down(); // the next one is to begin with a lab that is whole
        throw error;
      }
    });
  }
});
