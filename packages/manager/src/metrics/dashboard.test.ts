import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import type { HostReport } from '@sealift/contract';
import pino from 'pino';
import { type Family, readExposition } from '../testing/exposition.ts';
import { Metrics } from './metrics.ts';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
}

const dashboard = JSON.parse(readFileSync(join(import.meta.dirname, '../../../../docs/grafana/sealift.json'), 'utf8'));
const panels: readonly Panel[] = dashboard.panels;
const variables: readonly { name: string; type: string; definition?: string }[] = dashboard.templating.list;
const queries = [
  ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...variables.flatMap((each) => each.definition ?? []),
];

/** Each metric that a query names, with the labels that it is asked for. */
const namedIn = (query: string): { metric: string; labels: string[] }[] =>
  [...query.matchAll(/\b((?:sealift|process|nodejs)_\w+)(?:\{([^}]*)\})?/g)].map(([, metric = '', matchers = '']) => ({
    metric,
    labels: [...matchers.matchAll(/(\w+)[=!]~?"/g)].map(([, label = '']) => label),
  }));

describe('the Grafana dashboard', () => {
  let families: Map<string, Family>;
  before(async () => {
    const current: Pick<HostReport, 'cpus' | 'memory' | 'vms' | 'canSeal' | 'load' | 'linkMbps'> = {
      ...{ cpus: 2, memory: { total: 2, available: 1, reserved: 1 }, canSeal: true, vms: [] },
      ...{ load: { cpu: 0.5, linkBytesPerSecond: 1 }, linkMbps: 1000 },
    };
    const host = { name: 'alpha', cluster: 'default', maintenance: 'none', current: current as HostReport } as const; // what is measured of it
    const metrics = new Metrics({
      events: { listen: () => () => undefined },
      migrations: { get: async () => assert.fail('none has ended'), list: async () => [] },
      hosts: { all: () => [host] },
      store: { countVms: async () => 0 },
      log: pino({ level: 'silent' }),
      version: '1',
    });
    families = readExposition(await metrics.render());
  });
  const familyOf = (metric: string) => families.get(metric) ?? families.get(metric.replace(/_(bucket|sum|count)$/, ''));

  it('asks for metrics and labels that there are', () => {
    assert.ok(queries.length > 30);
    for (const query of queries) {
      const named = namedIn(query);
      assert.ok(named.length > 0, query);
      for (const { metric, labels } of named) {
        const family = familyOf(metric);
        assert.ok(family, `${metric} in ${query}`);
        const series = [...family.samples.keys()].filter((each) => each === metric || each.startsWith(`${metric}{`));
        assert.ok(series.length > 0, `${metric} in ${query}`);
        for (const label of labels)
          assert.ok(label === 'job' || series.some((each) => each.includes(`${label}="`)), `${label} of ${metric}`);
        if (family.type === 'counter') assert.match(query, new RegExp(`(rate|increase)\\(${metric}\\{`));
      }
      for (const [, by = ''] of query.matchAll(/\bby \(([^)]*)\)/g)) {
        const known = named.some(({ metric }) => by.split(', ').every((label) => labelsOf(familyOf(metric), metric).has(label)));
        assert.ok(known, `by (${by}) in ${query}`);
      }
    }
  });

  it('shows every metric of the manager but those that tell nothing by themselves', () => {
    const shown = new Set(queries.flatMap((query) => namedIn(query).map(({ metric }) => metric.replace(/_(bucket|sum|count)$/, ''))));
    const missing = [...families.keys()].filter((name) => name.startsWith('sealift_') && !shown.has(name));
    assert.deepEqual(missing, []);
  });

  it('takes its data source from a variable, and lays no panel over another', () => {
    assert.equal(dashboard.schemaVersion, 42);
    assert.equal(variables[0]?.type, 'datasource');
    const used = [...JSON.stringify(dashboard).matchAll(/\$\{?(\w+)/g)].map(([, name]) => name);
    const known = [...variables.map(({ name }) => name), '__rate_interval', '__range', '__all'];
    assert.deepEqual(
      used.filter((name) => !known.includes(name ?? '')),
      [],
    );
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    for (const { type, title, targets, datasource, gridPos: a, id } of panels) {
      if (type !== 'row')
        assert.ok(
          targets?.length &&
            [datasource, ...targets.map((each) => each.datasource)].every((each) => /^\$\{datasource\}$/.test(each?.uid ?? '')),
          title,
        );
      assert.ok(a.x >= 0 && a.x + a.w <= 24, title);
      for (const { gridPos: b, ...other } of panels) {
        const apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
        assert.ok(apart || other.id === id, `${title} and ${other.title}`);
      }
    }
  });
});

/** Of a metric's own series. */
function labelsOf(family: Family | undefined, metric: string): Set<string> {
  const series = [...(family?.samples.keys() ?? [])].filter((each) => each.startsWith(`${metric}{`));
  return new Set(series.flatMap((each) => [...each.matchAll(/(\w+)="/g)].map(([, label = '']) => label)));
}
