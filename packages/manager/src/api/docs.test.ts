import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Api, ErrorBody, errorCodes, publicApi } from '@sealift/contract';
import { Errors } from 'typebox/value';
import { readExposition } from '../testing/exposition.ts';
import { Site } from '../testing/site.ts';
import { routesOf } from './schemas.ts';

const docs = join(import.meta.dirname, '../../../../docs');
const page = readFileSync(join(docs, 'api.md'), 'utf8');

interface Command {
  readonly heading: string;
  readonly status: number;
  readonly code: string;
}

/** Of each fenced block that has a curl: the heading above it, and the status that its first line names. */
function commandsOf(markdown: string): Command[] {
  let heading = '';
  const commands: Command[] = [];
  for (const [, title, code = ''] of markdown.matchAll(/^#+ (.+)$|^```sh\n([\s\S]*?)^```$/gm)) {
    if (title !== undefined) heading = title;
    else if (code.includes('curl ')) commands.push({ heading, code, status: Number(/^# (\d{3})/.exec(code)?.[1]) });
  }
  return commands;
}

/** The route that a command asks. */
function routeOf(code: string): keyof typeof publicApi | undefined {
  const path = /(?:\$SEALIFT|http:\/\/localhost)(\/[^\s"?]*)/.exec(code)?.[1] ?? '';
  const method = /-X (\w+)/.exec(code)?.[1] ?? (code.includes('--json') ? 'POST' : 'GET');
  const parts = path.split('/');
  const named = (name: string) =>
    name.split('/').length === parts.length && name.split('/').every((part, at) => part.startsWith(':') || part === parts[at]);
  return routesOf<Api>(publicApi)
    .filter(([, route]) => route.method === method && named(route.path))
    .sort(([, a], [, b]) => (a.path.match(/:/g) ?? []).length - (b.path.match(/:/g) ?? []).length)[0]?.[0] as
    | keyof typeof publicApi
    | undefined; // one of its own names
}

describe('docs/api.md', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sealift-docs-'));
  const headers = join(directory, 'headers');
  const env: Record<string, string> = {};
  let site: Site;
  before(async () => {
    site = await Site.start({ more: ['charlie'] });
    await site.client.removeHost({ params: { host: 'charlie' } });
    Object.assign(env, { SEALIFT: site.url, SOCKET: site.socket, ENDPOINT: site.more[0]?.endpoint ?? '' });
    // Whatever a command asks for, what it was answered is seen.
    writeFileSync(join(directory, '.curlrc'), `dump-header = ${headers}\n`);
  });
  after(async () => {
    await site.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** In a group of its own, so that one whose stream has no end can be ended. */
  async function run({ code }: Command): Promise<{ readonly exit: number | null; readonly out: string; readonly status: number }> {
    rmSync(headers, { force: true });
    const child = spawn('bash', ['-eu', '-o', 'pipefail', '-c', code], {
      env: { PATH: process.env['PATH'], CURL_HOME: directory, NO_PROXY: '*', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    const closed = once(child, 'close');
    let out = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      out += chunk;
      if (routeOf(code) === 'watchEvents' && out.includes('\nid: ') && child.pid) process.kill(-child.pid, 'SIGTERM');
    }
    const [exit] = await closed;
    const status = Number([...readFileSync(headers, 'utf8').matchAll(/^HTTP\/1\.1 (\d+)/gm)].at(-1)?.[1]);
    return { exit, out, status };
  }

  /** What a reader has under way when he comes to it: here, a migration that gets no further. */
  async function prepare(heading: string): Promise<void> {
    if (heading !== 'Cancel a migration' && heading !== 'Cancel a task') return;
    for (const { id } of await site.client.listTasks({ query: { state: 'running' } })) await site.ended(id);
    for (const agent of site.agents) agent.host.hold('switching-over');
    const { id } = await site.client.migrateVm({ params: { vm: 'redis' }, body: {} });
    await site.reaches(id, 'copying');
    Object.assign(env, { MIGRATION: id, TASK: id });
  }

  it('has commands that do what it says, each against a manager', async () => {
    const commands = commandsOf(page);
    assert.equal(commands.length, page.match(/\bcurl -/g)?.length);
    const last = new Map<string, string>();
    for (const command of commands) {
      await prepare(command.heading);
      const { exit, out, status } = await run(command);
      const said = `${command.code}${out}`;
      assert.equal(status, command.status, said);
      const route = routeOf(command.code);
      if (route === 'watchEvents') assert.match(out, /^id: 2\n[\s\S]*\nid: 3\n/);
      else assert.equal(exit, 0, said);
      if (route) last.set(route, out);
      if (!/^[{[]/.test(out)) continue;
      const answer = JSON.parse(out);
      const schema = status >= 400 ? ErrorBody : route && publicApi[route].response;
      if (schema) assert.deepEqual(Errors(schema, answer), [], said);
      if (route === 'migrateVm' && status === 202) env['MIGRATION'] = answer.id;
      if (answer.kind === 'drain' || answer.kind === 'balance') env['TASK'] = answer.id;
      if (route?.startsWith('cancel')) {
        for (const agent of site.agents) agent.host.release();
        await site.ended(answer.id);
      }
    }
    const json = (route: keyof typeof publicApi) => JSON.parse(last.get(route) ?? '');
    assert.equal(json('changeVm').definition.memoryMiB, 512);
    assert.equal(json('listHosts').length, 3);
    assert.match(last.get('watchMigration') ?? '', /"phase":"completed".*"result"/);
    assert.equal(json('getMigration').result.suite, 'aes-256-gcm');
    assert.match(last.get('watchTask') ?? '', /"kind":"drain".*"state":"completed"/);
    assert.equal(json('undrainHost').maintenance, 'none');
    assert.equal(json('removeVm').error.code, 'wrong_state');
    assert.equal((await site.client.getMigration({ params: { migration: env['TASK'] ?? '' } })).phase, 'cancelled');
  });

  it('has one for each main task', () => {
    const asked = new Set(commandsOf(page).map(({ code }) => routeOf(code)));
    const tasks: (keyof typeof publicApi)[] = [
      ...(['status', 'addHost', 'listHosts', 'createVm', 'changeVm', 'startVm', 'listVms', 'getVm', 'planMigration', 'migrateVm'] as const),
      ...(['watchMigration', 'cancelMigration', 'planDrain', 'drainHost', 'undrainHost', 'planBalance', 'balanceCluster'] as const),
      ...(['listTasks', 'watchTask', 'cancelTask', 'listEvents', 'watchEvents', 'setCluster'] as const),
    ];
    assert.deepEqual(
      tasks.filter((task) => !asked.has(task)),
      [],
    );
  });

  it('names every error code and every metric, and none that is not there', async () => {
    const table = (title: string) => page.slice(page.indexOf(`\n## ${title}\n`)).split(/\n## /)[1] ?? '';
    const codes = [...table('Errors').matchAll(/^\| (\d+) \| (.+) \|$/gm)].flatMap(([, status, all = '']) =>
      all.split(', ').map((code) => `${code} ${status}`),
    );
    const served = Object.entries(errorCodes).filter(([code]) => code !== 'manager_unreachable');
    assert.deepEqual(codes.sort(), served.map(([code, { status }]) => `\`${code}\` ${status}`).sort());

    const families = readExposition(await (await fetch(`${site.url}/metrics`)).text());
    const own = [...families.keys()].filter((name) => name.startsWith('sealift_'));
    const described = [...table('Metrics').matchAll(/^\| `(sealift_\w+)` \|(.*?)\|/gm)].map(
      ([, name, labels]) => [name ?? '', (labels ?? '').trim()] as const,
    );
    assert.deepEqual(described.map(([name]) => name).sort(), own.sort());
    for (const [name, labels] of described) {
      const [series = ''] = families.get(name)?.samples.keys() ?? [];
      const there = [...series.matchAll(/(\w+)="/g)].map(([, label]) => label).filter((label) => label !== 'le');
      if (series !== '') assert.equal(there.join(', '), labels, name);
    }
  });
});
