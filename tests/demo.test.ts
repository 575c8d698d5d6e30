/** `npm run demo` is the main job; here it is held to what it promises. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { DemoResult } from '../lab/src/demo/result.ts';
import { pathsOf } from '../lab/src/lab/paths.ts';
import { presentNamespaces } from '../lab/src/topology/build.ts';
import { planOf } from '../lab/src/topology/plan.ts';
import { type Answer, run } from './support/lab.ts';

const node = fileURLToPath(new URL('../tools/node', import.meta.url));
const demo = fileURLToPath(new URL('../lab/src/demo/main.ts', import.meta.url));

describe('the demo', () => {
  let directory: string;
  let answer: Answer;
  let result: DemoResult;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sealift-demo-'));
    const file = join(directory, 'result.json');
    answer = await run(node, [demo, '--json', file]);
    result = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
  });

  after(() => rm(directory, { recursive: true, force: true }));

  it('ends well', () => {
    assert.equal(answer.status, 0, answer.stdout + answer.stderr);
    assert.equal(result.ok, true);
  });

  it('moves the guest sealed there and back, and once clear as a control', () => {
    assert.deepEqual(
      result.migrations.map(({ suite, from, to }) => [suite, from, to]),
      [
        ['aes-256-gcm', 'alpha', 'bravo'],
        ['aes-256-gcm', 'bravo', 'alpha'],
        ['none', 'alpha', 'bravo'],
      ],
    );
  });

  it('loses no write and confuses none, and no page of the guest’s memory is stale', () => {
    for (const migration of result.migrations) {
      assert.ok(migration.acknowledgedWrites > 0);
      assert.deepEqual([migration.lostWrites, migration.wrongValues], [0, 0]);
    }
    assert.ok((result.memoryChecker?.passes ?? 0) >= 3);
    assert.equal(result.memoryChecker?.errors, 0);
  });

  it('shows nothing of the guest on the wire when sealed, and could see it', () => {
    for (const migration of result.migrations) {
      assert.ok(migration.capturedBytes >= migration.bytesOnWire, 'the capture is whole');
      assert.ok(migration.markersPlanted > 0);
      if (migration.suite === 'none') assert.ok(migration.markersSeen > 0);
      else assert.equal(migration.markersSeen, 0);
    }
  });

  it('leaves nothing behind', async () => {
    assert.deepEqual(await presentNamespaces(planOf('demo')), []);
    assert.equal(existsSync(pathsOf('demo').run), false);
    assert.equal(existsSync(pathsOf('demo').agentRun('alpha')), false);
  });
});
