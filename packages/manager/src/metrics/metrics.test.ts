import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { HostReport, Migration, MigrationResult } from '@sealift/contract';
import pino from 'pino';
import { Events } from '../events/events.ts';
import { ordered, reached } from '../events/of-migrations.ts';
import { openSqlite } from '../store/sqlite.ts';
import type { Store } from '../store/store.ts';
import { readExposition } from '../testing/exposition.ts';
import { migrationOf } from '../testing/records.ts';
import { Metrics } from './metrics.ts';

const log = pino({ level: 'silent' });

const resultOf = (suite: Migration['suite'], changes: Partial<MigrationResult> = {}): MigrationResult => ({
  suite,
  channels: 3,
  migrationMs: 4000,
  switchOverMs: 40,
  switchOverErrorMs: 1,
  bytesOnWire: 1_000_000,
  records: 70,
  throughputMBps: 250,
  cpuSeconds: { source: { qemu: 1, transport: 0.5 } },
  ...changes,
});

describe('metrics', () => {
  let store: Store;
  let events: Events;
  const records = new Map<string, Migration>();
  const hosts: { name: string; cluster: string; maintenance: 'none' | 'draining'; current: HostReport | undefined }[] = [];
  const running: Migration[] = [];
  let metrics: Metrics;
  beforeEach(async () => {
    store = await openSqlite(':memory:');
    events = new Events(store, log);
    await events.open();
    for (const known of [records, hosts, running]) 'clear' in known ? known.clear() : known.splice(0);
    const migrations = {
      get: async (id: string) => records.get(id) ?? assert.fail(`nobody knows ${id}`),
      list: async () => running,
    };
    metrics = new Metrics({ events, migrations, hosts: { all: () => hosts }, store, log, version: '1.2.3' });
  });
  afterEach(async () => {
    await events.close();
    await store.close();
  });
  const ends = (changes: Partial<Migration>) => {
    const { migration } = migrationOf('redis', { endedAt: 1_767_225_700_000, ...changes });
    records.set(migration.id, migration);
    events.publish(ordered(migration));
    events.publish(reached(migration));
  };
  const scrape = async () => {
    const families = readExposition(await metrics.render());
    const value = (series: string) => families.get(series.replace(/(_bucket|_sum|_count)?(\{.*)?$/, ''))?.samples.get(series);
    return { families, value };
  };

  it('count migrations by suite, result and why they were clear, with bytes and times of those that completed', async () => {
    ends({ phase: 'completed', result: resultOf('aes-256-gcm') });
    ends({ phase: 'completed', result: resultOf('aes-256-gcm', { switchOverMs: 400, bytesOnWire: 5 }) });
    ends({ phase: 'lost', failure: { code: 'hypervisor', message: 'gone' } });
    const why = 'host bravo cannot seal, and encryption of VM redis is opportunistic';
    ends({ phase: 'completed', suite: 'none', clearBecause: why, result: resultOf('none', { bytesOnWire: 7 }) });
    ends({ phase: 'cancelled', suite: 'none', clearBecause: 'it was ordered clear' });
    ends({ phase: 'failed', suite: 'none', clearBecause: 'encryption of VM redis is disabled' });
    const { value, families } = await scrape();
    const total = (suite: string, result: string, cause: string) =>
      value(`sealift_migrations_total{suite="${suite}",result="${result}",clear_because="${cause}"}`);
    assert.equal(total('aes-256-gcm', 'completed', 'none'), 2);
    assert.equal(total('aes-256-gcm', 'lost', 'none'), 1);
    assert.equal(total('none', 'completed', 'fallback'), 1);
    assert.equal(total('none', 'cancelled', 'ordered'), 1);
    assert.equal(total('none', 'failed', 'disabled'), 1);
    assert.equal(total('none', 'failed', 'fallback'), 0);
    const all = [...(families.get('sealift_migrations_total')?.samples.values() ?? [])];
    assert.deepEqual([all.length, all.reduce((sum, each) => sum + each, 0)], [16, 6]);

    assert.equal(value('sealift_migration_bytes_total{suite="aes-256-gcm"}'), 1_000_005);
    assert.equal(value('sealift_migration_bytes_total{suite="none"}'), 7);
    const switchOver = 'sealift_migration_switch_over_seconds';
    assert.equal(value(`${switchOver}_sum{suite="aes-256-gcm"}`), 0.44);
    assert.equal(value(`${switchOver}_bucket{le="0.05",suite="aes-256-gcm"}`), 1);
    assert.equal(value(`${switchOver}_count{suite="none"}`), 1);
    assert.equal(value('sealift_migration_duration_seconds_sum{suite="aes-256-gcm"}'), 8);
    assert.equal(value('sealift_migration_cpu_seconds_total{suite="none",side="source",part="transport"}'), 0.5);
    assert.equal(value('sealift_tasks_total{kind="migrate",result="completed"}'), 3);
    assert.equal(value('sealift_tasks_total{kind="migrate",result="failed"}'), 2);
    assert.equal(value('sealift_events_total{type="migration.ended"}'), 6);
  });

  it('count tasks by kind and result, and what is delivered to those who watch', async () => {
    const stop = new AbortController();
    const watched = metrics.delivering(await events.watch(undefined, stop.signal));
    for (const state of ['completed', 'completed', 'failed']) {
      events.publish({ type: 'task.ended', subject: {}, message: `drain host alpha: ${state}`, data: { state, kind: 'drain' } });
    }
    for (let seen = 0; seen < 3; seen++) await watched.next();
    const during = await scrape();
    assert.equal(during.value('sealift_tasks_total{kind="drain",result="completed"}'), 2);
    assert.equal(during.value('sealift_tasks_total{kind="drain",result="failed"}'), 1);
    assert.equal(during.value('sealift_tasks_total{kind="balance",result="failed"}'), 0);
    assert.equal(during.value('sealift_events_delivered_total'), 3);
    assert.equal(during.value('sealift_event_watchers'), 1);
    stop.abort();
    await watched.return(undefined);
    assert.equal((await scrape()).value('sealift_event_watchers'), 0);
  });

  it('say of each host what it says itself, and of a silent one only that it is silent', async () => {
    const report: HostReport = {
      name: 'alpha',
      version: '0.1.0',
      protocolVersion: 1,
      keyHash: 'ab'.repeat(32),
      qemu: { version: '7.2', machines: [], accel: 'tcg', capabilities: [] },
      cpus: 8,
      memory: { total: 4096, available: 1024, reserved: 3072 },
      bridges: [],
      migrationEndpoints: [],
      canSeal: true,
      load: { cpu: 0.25, linkBytesPerSecond: 1000 },
      linkMbps: 8,
      vms: (['running', 'running', 'moving-out'] as const).map((state, number) => ({
        definition: { name: `vm-${number}`, memoryMiB: 64, vcpus: 1, cpuModel: 'max', machine: 'pc-q35-7.2', disks: [], nics: [] },
        state,
        log: '/l',
      })),
    };
    hosts.push({ name: 'alpha', cluster: 'default', maintenance: 'draining', current: report });
    hosts.push({ name: 'bravo', cluster: 'east', maintenance: 'none', current: undefined });
    running.push(migrationOf('redis', { phase: 'copying' }).migration);
    const { value, families } = await scrape();
    const alpha = '{host="alpha",cluster="default"}';
    assert.equal(value(`sealift_host_up${alpha}`), 1);
    assert.equal(value('sealift_host_up{host="bravo",cluster="east"}'), 0);
    assert.equal(value('sealift_host_maintenance{host="alpha",cluster="default",state="draining"}'), 1);
    assert.equal(value(`sealift_host_cpu_usage_ratio${alpha}`), 0.25);
    assert.equal(value(`sealift_host_memory_reserved_bytes${alpha}`), 3072);
    assert.equal(value(`sealift_host_link_speed_bytes_per_second${alpha}`), 1_000_000);
    assert.equal(value(`sealift_host_vms${alpha}`), 3);
    for (const name of families.keys()) {
      if (!name.startsWith('sealift_host_') || name === 'sealift_host_up' || name === 'sealift_host_maintenance') continue;
      assert.deepEqual([...(families.get(name)?.samples.keys() ?? [])], [name + alpha]);
    }
    assert.equal(value('sealift_vms{state="running"}'), 2);
    assert.equal(value('sealift_vms{state="moving-out"}'), 1);
    assert.equal(value('sealift_vms{state="paused"}'), 0);
    assert.equal(value('sealift_migrations_running{suite="aes-256-gcm",phase="copying"}'), 1);
    assert.equal(value('sealift_migrations_running{suite="none",phase="copying"}'), 0);

    running.splice(0);
    hosts.splice(0, 1);
    const later = await scrape();
    assert.equal(later.value(`sealift_host_up${alpha}`), undefined);
    assert.equal(later.value('sealift_migrations_running{suite="aes-256-gcm",phase="copying"}'), 0);
  });

  it('name no VM, migration or task anywhere, and measure the process', async () => {
    ends({ vm: 'very-own-name', phase: 'completed', result: resultOf('aes-256-gcm') });
    const text = await metrics.render();
    assert.doesNotMatch(text, /very-own-name|redis|[0-9a-f]{8}-[0-9a-f]{4}/);
    const families = readExposition(text);
    assert.equal(families.get('sealift_build_info')?.samples.get('sealift_build_info{version="1.2.3"}'), 1);
    assert.ok((families.get('process_cpu_seconds_total')?.samples.get('process_cpu_seconds_total') ?? 0) > 0);
    const bare = [...families].filter(
      ([name, { type }]) => name.startsWith('sealift_') && (type === 'counter') !== name.endsWith('_total'),
    );
    assert.deepEqual(bare, []);
  });
});
