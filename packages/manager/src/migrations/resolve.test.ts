import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Keep, type Migration, type MigrationPhase, SealiftError, type VmState } from '@sealift/contract';
import { openSqlite } from '../store/sqlite.ts';
import { migrationOf } from '../testing/records.ts';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';
import { checkResolution, type Standing } from './resolve.ts';

describe('which decisions make sense', () => {
  const standing = (role: Keep) => (phase: MigrationPhase | undefined, vm: VmState | undefined) => ({
    report: phase && { migration: 'm', attempt: 1, role, vm: 'redis', phase },
    vm,
  });
  const [source, destination] = [standing('source'), standing('destination')];
  const check = (keep: Keep, from: Standing | undefined, to: Standing | undefined, phase: MigrationPhase = 'in-doubt') =>
    checkResolution({ ...migrationOf('redis').migration, phase }, keep, from, to);

  const allowed: [name: string, keep: Keep, from: Standing | undefined, to: Standing | undefined, phase?: MigrationPhase][] = [
    ['in doubt, the destination silent: the source', 'source', source('in-doubt', 'in-doubt'), undefined],
    ['in doubt, the destination silent: the destination', 'destination', source('in-doubt', 'in-doubt'), undefined],
    ['in doubt, the destination has given up', 'source', source('in-doubt', 'in-doubt'), destination('failed', undefined)],
    ['the source silent, the destination has given up', 'source', undefined, destination('failed', undefined), 'granted'],
    ['the source silent, the destination has returned', 'destination', undefined, destination('in-doubt', 'in-doubt'), 'granted'],
    ['the source silent, the destination runs it', 'destination', undefined, destination('completed', 'running'), 'releasing'],
    ['the destination silent while copying: the source', 'source', source('copying', 'moving-out'), undefined, 'copying'],
    ['both silent: the destination', 'destination', undefined, undefined, 'granted'],
    ['forgotten by the source, which has it in doubt', 'source', source(undefined, 'in-doubt'), destination(undefined, undefined)],
    ['forgotten by both, paused there', 'destination', source(undefined, undefined), destination(undefined, 'paused')],
  ];
  for (const [name, keep, from, to, phase] of allowed) it(`allowed: ${name}`, () => check(keep, from, to, phase));

  const no: [name: string, keep: Keep, from: Standing | undefined, to: Standing | undefined, phase: MigrationPhase, words: RegExp][] = [
    [
      'both answer, and it is on its way',
      'source',
      source('copying', 'moving-out'),
      destination('copying', 'moving-in'),
      'copying',
      /redis.*not in doubt \(copying\).*migration cancel/,
    ],
    [
      'both answer, and it runs there',
      'destination',
      source('releasing', 'moving-out'),
      destination('completed', 'running'),
      'releasing',
      /not in doubt.*migration watch/,
    ],
    [
      'in doubt, both answer',
      'source',
      source('in-doubt', 'in-doubt'),
      destination('completed', 'running'),
      'in-doubt',
      /without you.*watch/,
    ],
    ['both in doubt', 'source', source('in-doubt', 'in-doubt'), destination('in-doubt', 'in-doubt'), 'in-doubt', /without you.*watch/],
    ['both silent', 'source', undefined, undefined, 'copying', /alpha does not answer.*Decide when it does/],
    ['the source silent', 'source', undefined, destination('in-doubt', 'in-doubt'), 'in-doubt', /alpha does not answer/],
    ['just granted', 'source', source('granted', 'moving-out'), undefined, 'granted', /handing it over to host bravo right now.*Try again/],
    ['loading', 'source', source('in-doubt', 'in-doubt'), destination('granted', 'moving-in'), 'in-doubt', /right now.*Try again/],
    ['not handed over', 'destination', source('copying', 'moving-out'), undefined, 'copying', /still host alpha's.*migration cancel/],
    ['released', 'source', source('completed', undefined), undefined, 'releasing', /alpha answers and does not have the VM any more/],
    ['being released', 'source', source('releasing', 'moving-out'), undefined, 'releasing', /nothing would be left/],
    [
      'not at the destination',
      'destination',
      source('in-doubt', 'in-doubt'),
      destination(undefined, undefined),
      'in-doubt',
      /host bravo answers and does not have the VM: nothing would be left/,
    ],
    ['discarded', 'destination', undefined, destination('failed', undefined), 'granted', /bravo answers and does not have/],
    ['never granted there', 'destination', undefined, destination('copying', 'moving-in'), 'copying', /bravo answers and does not have/],
    ['lost there', 'destination', undefined, destination('lost', 'crashed'), 'granted', /bravo answers and does not have/],
    ['the source has it again', 'destination', source('failed', 'running'), undefined, 'granted', /host alpha has it \(running\)/],
  ];
  for (const [name, keep, from, to, phase, words] of no)
    it(`refused: ${name}`, () => assert.throws(() => check(keep, from, to, phase), refused('wrong_state', words)));
});

describe('an administrator decides', { timeout: 120_000 }, () => {
  let site: Site;
  beforeEach(async () => {
    site = await Site.start();
  });
  afterEach(() => site.close());
  const resolve = (id: string, keep: Keep, confirm = 'redis') =>
    site.client.resolveMigration({ params: { migration: id }, body: { keep, confirm } });
  const get = (id: string) => site.client.getMigration({ params: { migration: id } });
  const vm = async () => {
    const { host, state, problem } = await site.client.getVm({ params: { vm: 'redis' } });
    return { host, state, problem };
  };
  /** Waits until hosts and manager agree again: a host that is back is told first, and shown as connected only then. */
  const agreed = async () => {
    for (;;) {
      const { host, state, problem } = await vm();
      if (problem === undefined) return { host, state };
      await sleep(20);
    }
  };
  /** The decision has reached every host. */
  const told = async (id: string): Promise<Migration> => {
    for (;;) {
      const it = await get(id);
      if (it.resolution?.waitingFor.length === 0) return it;
      await sleep(20);
    }
  };
  /** In doubt, and this host does not answer; the manager has not been able to settle it. */
  const doubtWithout = async (gone: 'alpha' | 'bravo', there: 'ran' | 'returning'): Promise<string> => {
    await site.running('redis');
    site.alpha.host.hold('releasing');
    const { id } = await site.client.migrateVm({ params: { vm: 'redis' }, body: { to: 'bravo' } });
    await site.reaches(id, 'granted');
    await site[gone].stop();
    site.alpha.host.breakOff(id, there);
    site.alpha.host.release();
    await site.reaches(id, 'in-doubt');
    site[gone].host.calls.length = 0;
    return id;
  };

  it('for the source: it runs there, and the other is told first of all when it is back', async () => {
    const id = await doubtWithout('bravo', 'ran');
    await assert.rejects(resolve(id, 'source', 'radis'), refused('invalid_request', /moves VM redis; "radis" is not its name/));
    const ended = await resolve(id, 'source');
    assert.deepEqual([ended.phase, ended.failure?.code, ended.resolution?.keep], ['failed', 'resolved', 'source']);
    assert.match(ended.failure?.message ?? '', /kept the copy of VM redis at host alpha; the one at host bravo is given up/);
    assert.deepEqual(ended.resolution?.waitingFor, ['bravo']);
    const shown = await vm();
    assert.deepEqual([shown.host, shown.state], ['alpha', 'running']);
    assert.match(
      shown.problem ?? '',
      /decided migration .* for the source's copy of VM redis, and host bravo does not answer.*may run as well/,
    );
    // Once more is the same; otherwise is not.
    assert.equal((await resolve(id, 'source')).phase, 'failed');
    await assert.rejects(resolve(id, 'destination'), refused('wrong_state', /already ended: failed/));

    await site.bravo.start();
    await told(id);
    assert.equal(site.bravo.host.calls[0], 'resolveAttempt');
    assert.equal(site.bravo.host.vms.size, 0);
    assert.equal(site.bravo.host.attempts.get(id)?.report.failure?.code, 'resolved');
    assert.deepEqual(await agreed(), { host: 'alpha', state: 'running' });
    assert.equal((await site.watch(await migrateAgain())).at(-1)?.phase, 'completed');
  });
  const migrateAgain = async () => (await site.client.migrateVm({ params: { vm: 'redis' }, body: { to: 'bravo' } })).id;

  it('for the destination, where the source is gone', async () => {
    const id = await doubtWithout('alpha', 'returning');
    const ended = await resolve(id, 'destination');
    assert.deepEqual([ended.phase, ended.failure, ended.resolution?.waitingFor], ['completed', undefined, ['alpha']]);
    const shown = await vm();
    assert.deepEqual([shown.host, shown.state], ['bravo', 'running']);
    await site.alpha.start();
    await told(id);
    assert.equal(site.alpha.host.calls[0], 'resolveAttempt');
    assert.equal(site.alpha.host.vms.size, 0);
    assert.deepEqual(await agreed(), { host: 'bravo', state: 'running' });
  });

  it('for a destination that does not answer: the source gives its copy up, as the administrator was told', async () => {
    const id = await doubtWithout('bravo', 'returning');
    const ended = await resolve(id, 'destination');
    assert.deepEqual([ended.phase, ended.resolution?.waitingFor], ['completed', ['bravo']]);
    assert.equal(site.alpha.host.vms.size, 0);
    assert.match((await vm()).problem ?? '', /host bravo, whose copy that is, does not answer/);
    await site.bravo.start();
    await told(id);
    assert.deepEqual(await agreed(), { host: 'bravo', state: 'running' });
  });

  it('and the other host is told also where the manager was restarted meanwhile', async () => {
    const id = await doubtWithout('bravo', 'ran');
    await resolve(id, 'source');
    await site.stopManager();
    await site.startManager();
    assert.deepEqual((await get(id)).resolution?.waitingFor, ['bravo']);
    await site.bravo.start();
    await told(id);
    assert.equal(site.bravo.host.calls[0], 'resolveAttempt');
    assert.equal(site.bravo.host.vms.size, 0);
  });

  it('and a manager that died right after recording it carries it out when it is back', async () => {
    const id = await doubtWithout('bravo', 'ran');
    await site.stopManager();
    const store = await openSqlite(join(site.directory, 'state', 'manager.db'));
    assert.equal(await store.addResolution(id, 'source', Date.now()), true);
    await store.close();
    await site.bravo.start(); // both answer now: it would settle for the destination, had nothing been decided
    await site.startManager();
    await site.watch(id);
    const ended = await told(id);
    assert.deepEqual([ended.phase, ended.failure?.code], ['failed', 'resolved']);
    assert.deepEqual(await agreed(), { host: 'alpha', state: 'running' });
    assert.equal(site.bravo.host.vms.size, 0);
  });

  it('nothing, where the host whose copy is to be kept answers that it cannot: the other copy is not touched', async () => {
    const id = await doubtWithout('bravo', 'ran');
    site.alpha.host.failures.set(
      'resolveAttempt',
      new SealiftError('wrong_state', 'redis was released here', { details: { state: 'ended' } }),
    );
    await site.bravo.stop();
    await assert.rejects(
      resolve(id, 'source'),
      refused('wrong_state', /nothing is decided: host alpha cannot keep VM redis.*was released here/),
    );
    assert.equal((await get(id)).resolution, undefined);
    assert.equal((await get(id)).endedAt, undefined);
    site.alpha.host.failures.clear();
    await site.bravo.start();
    assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
    assert.ok(!site.bravo.host.calls.includes('resolveAttempt'));
    assert.deepEqual(await agreed(), { host: 'bravo', state: 'running' });
  });

  it('with neither host there: both are told when they are', async () => {
    const id = await doubtWithout('bravo', 'ran');
    await site.alpha.stop();
    await assert.rejects(resolve(id, 'source'), refused('wrong_state', /alpha does not answer/));
    assert.deepEqual((await resolve(id, 'destination')).resolution?.waitingFor, ['alpha', 'bravo']);
    await site.alpha.start();
    await site.bravo.start();
    await told(id);
    assert.deepEqual(await agreed(), { host: 'bravo', state: 'running' });
    assert.equal(site.alpha.host.vms.size, 0);
  });

  it('only what there is to decide', async () => {
    await site.running('redis');
    site.alpha.host.hold('switching-over');
    const { id } = await site.client.migrateVm({ params: { vm: 'redis' }, body: { to: 'bravo' } });
    await site.reaches(id, 'copying');
    await assert.rejects(
      resolve(id, 'source'),
      refused('wrong_state', /VM redis.*not in doubt \(copying\), and both hosts answer.*cancel/),
    );
    site.alpha.host.release();
    await site.watch(id);
    await assert.rejects(resolve(id, 'source'), refused('wrong_state', /already ended: completed; VM redis was moved to host bravo/));
    const nobody = '00000000-0000-4000-8000-000000000000';
    await assert.rejects(resolve(nobody, 'source'), refused('not_found', /no migration/));
  });
});
