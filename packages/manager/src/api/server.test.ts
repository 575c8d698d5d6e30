import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { createClient, type ErrorCode, errorOf, publicApi, SealiftError } from '@sealift/contract';
import { Agent, fetch as undiciFetch } from 'undici';
import { WebSocket } from 'ws';
import { readExposition } from '../testing/exposition.ts';
import { definitionOf } from '../testing/records.ts';
import { Site } from '../testing/site.ts';

interface Answer {
  status: number;
  type: string;
  text: string;
}

/** Not fetch: that one sets Host by itself. */
function ask(url: string, headers: Record<string, string> = {}, body?: string): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const sent = httpRequest(url, { headers, method: body === undefined ? 'GET' : 'POST' }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk) => {
      text += chunk;
    });
    response.on('end', () => resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text }));
  });
  sent.on('error', reject);
  sent.end(body);
  return promise;
}

describe('the public API', () => {
  let site: Site;
  before(async () => {
    site = await Site.start();
    await site.running('redis');
  });
  after(() => site.close());
  const codeOf = (answer: Answer) => errorOf(JSON.parse(answer.text))?.code;

  it('answers on the unix socket as well, which is for its owner only', async () => {
    assert.equal(statSync(site.socket).mode & 0o777, 0o600);
    const dispatcher = new Agent({ connect: { socketPath: site.socket } });
    const send = (url: string, init: object) => undiciFetch(url, { ...init, dispatcher }) as unknown as Promise<Response>; // the same type, from undici itself
    try {
      const client = createClient(publicApi, 'http://localhost', send, 'manager_unreachable');
      assert.deepEqual(await client.status(), { version: '0.1.0', hosts: 2, vms: 1, migrating: 0 });
    } finally {
      await dispatcher.destroy();
    }
  });

  it('refuses web pages: a foreign Host or Origin', async () => {
    const status = `${site.url}/v1/status`;
    const host = new URL(site.url).host;
    for (const headers of [{ host: 'evil.example' }, { host: '192.0.2.1:8650' }, { origin: 'https://evil.example' }, { origin: 'null' }]) {
      const answer = await ask(status, headers);
      assert.equal(answer.status, 403, JSON.stringify(headers));
      assert.equal(codeOf(answer), 'not_authorised');
    }
    for (const headers of [{}, { host: 'localhost:8650' }, { host: '127.0.0.1' }, { host: '[::1]:8650' }, { origin: `http://${host}` }]) {
      assert.equal((await ask(status, headers)).status, 200, JSON.stringify(headers));
    }
    const socket = new WebSocket(`${site.url.replace('http', 'ws')}/v1/vms/redis/console`, { origin: 'https://evil.example' });
    const refused = await new Promise<number | undefined>((resolve) =>
      socket.once('unexpected-response', (_request, { statusCode }) => resolve(statusCode)).once('error', () => resolve(undefined)),
    );
    socket.terminate();
    assert.equal(refused, 403);
  });

  it('names the field that is not valid, and has an error body for everything', async () => {
    const vms = `${site.url}/v1/vms`;
    const json = { 'content-type': 'application/json' };
    const create = (definition: object) => JSON.stringify({ host: 'alpha', definition });
    const cases: [Answer, ErrorCode, RegExp][] = [
      [
        await ask(vms, json, create({ ...definitionOf('x'), memoryMiB: '256' })),
        'invalid_request',
        /^definition\.memoryMiB must be integer/,
      ],
      [
        await ask(vms, json, create({ ...definitionOf('x'), encryption: 'maybe' })),
        'invalid_request',
        /^definition\.encryption must be one of disabled, opportunistic, required/,
      ],
      [await ask(vms, json, create({ ...definitionOf('x'), colour: 'red' })), 'invalid_request', /^definition\.colour is not a field/],
      [await ask(vms, json, create({ name: 'x' })), 'invalid_request', /^definition\.memoryMiB is missing/],
      [await ask(`${vms}?limit=0`), 'invalid_request', /^limit must be >= 1/],
      [await ask(`${vms}?limit=many`), 'invalid_request', /^limit must be integer/],
      [await ask(`${vms}?colour=red`), 'invalid_request', /^colour is not a field/],
      [await ask(`${site.url}/v1/migrations?running=yes`), 'invalid_request', /^running must be boolean/],
      [await ask(`${site.url}/v1/events`, { 'last-event-id': 'x' }), 'invalid_request', /^Last-Event-ID is not/],
      [await ask(vms, json, '{"host":'), 'invalid_request', /JSON/],
      [await ask(vms, { 'content-type': 'text/plain' }, 'x'), 'invalid_request', /Unsupported Media Type/],
      [await ask(`${vms}/No_Name`), 'invalid_request', /^vm is not valid; it must be: A DNS label/],
      [await ask(`${site.url}/v1/migrations/none`), 'invalid_request', /^migration is not valid; it must be: UUID/],
      [await ask(`${site.url}/nowhere?x=1`), 'not_found', /there is no GET \/nowhere$/],
      [await ask(`${vms}/redis/console`), 'invalid_request', /is a WebSocket/],
      [await ask(`${site.url}/v1/migrations/00000000-0000-4000-8000-000000000000/events`), 'not_found', /no migration 00000000/],
    ];
    for (const [answer, code, message] of cases) {
      assert.match(answer.type, /^application\/json/);
      const error = errorOf(JSON.parse(answer.text));
      assert.ok(error, answer.text);
      assert.equal(error.code, code, answer.text);
      assert.match(error.message, message);
      assert.equal(answer.status, error.status);
    }
  });

  it('fills in what a definition leaves out', async () => {
    const body = JSON.stringify({ host: 'alpha', definition: { name: 'least', memoryMiB: 64, encryption: 'required' } });
    const answer = await ask(`${site.url}/v1/vms`, { 'content-type': 'application/json' }, body);
    assert.equal(answer.status, 201, answer.text);
    assert.deepEqual(JSON.parse(answer.text).definition, { ...definitionOf('least', { memoryMiB: 64, encryption: 'required' }) });
    await site.client.removeVm({ params: { vm: 'least' } });
  });

  it('describes itself in OpenAPI 3.1, and serves each path and method that it describes', async () => {
    const document = JSON.parse((await ask(`${site.url}/v1/openapi.json`)).text);
    assert.deepEqual([document.openapi, document.info.version], ['3.1.0', '0.1.0']);
    assert.equal((await ask(`${site.url}/openapi.json`)).text, JSON.stringify(document));
    for (const [path, methods] of Object.entries<object>(document.paths)) {
      for (const method of Object.keys(methods)) {
        // Names that nobody has: what is served finds no such thing, or misses the body.
        const url =
          site.url + path.replace(/\{(migration|task)\}/, '00000000-0000-4000-8000-000000000000').replaceAll(/\{\w+\}/g, 'nobody');
        const stop = new AbortController();
        const answer = await fetch(url, { method: method.toUpperCase(), signal: stop.signal });
        const type = answer.headers.get('content-type') ?? '';
        const text = type.startsWith('text/event-stream') ? '' : await answer.text();
        stop.abort();
        assert.doesNotMatch(text, /there is no (GET|POST|PUT|DELETE) /, `${method} ${path}`);
        assert.ok(answer.status < 500, `${method} ${path}: ${text}`);
      }
    }
  });

  it('is measured: a migration that has ended is in the next scrape', async () => {
    await site.running('measured');
    const { id } = await site.client.migrateVm({ params: { vm: 'measured' }, body: { to: 'bravo', clear: true } });
    await site.watch(id);
    const answer = await ask(`${site.url}/metrics`);
    assert.deepEqual([answer.status, answer.type], [200, 'text/plain; version=0.0.4; charset=utf-8']);
    const families = readExposition(answer.text);
    const value = (name: string, labels: string) => families.get(name)?.samples.get(`${name}{${labels}}`);
    assert.equal(value('sealift_migrations_total', 'suite="none",result="completed",clear_because="ordered"'), 1);
    assert.ok((value('sealift_migration_bytes_total', 'suite="none"') ?? 0) > 0);
    assert.equal(value('sealift_host_up', 'host="bravo",cluster="default"'), 1);
    assert.equal(value('sealift_tasks_total', 'kind="create",result="completed"'), 3);
    await site.client.stopVm({ params: { vm: 'measured' }, body: { force: true } });
    await site.client.removeVm({ params: { vm: 'measured' } });
  });

  it('joins a console to its guest, both ways, and refuses one of a stopped VM before the upgrade', async () => {
    const ws = site.url.replace('http', 'ws');
    const socket = new WebSocket(`${ws}/v1/vms/redis/console`);
    const bytes = Buffer.from([0, 255, 13, 10, 3, 200]);
    const echoed = Promise.withResolvers<Buffer>();
    socket.once('open', () => socket.send(bytes));
    socket.once('message', (data: Buffer, isBinary) => (isBinary ? echoed.resolve(data) : echoed.reject(new Error('text'))));
    socket.once('error', echoed.reject);
    assert.deepEqual(await echoed.promise, bytes);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.close();
    await closed;

    await site.client.createVm({ body: { host: 'alpha', definition: definitionOf('still') } });
    for (const [vm, code] of [
      ['still', 'wrong_state'],
      ['nobody', 'not_found'],
    ]) {
      const refused = new WebSocket(`${ws}/v1/vms/${vm}/console`);
      const body = Promise.withResolvers<string>();
      refused.once('error', body.reject);
      refused.once('unexpected-response', (_request, response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => body.resolve(text));
      });
      assert.equal(errorOf(JSON.parse(await body.promise))?.code, code);
      refused.terminate();
    }
    await site.client.removeVm({ params: { vm: 'still' } });
  });

  it('ends a console when its host goes away', async () => {
    const socket = new WebSocket(`${site.url.replace('http', 'ws')}/v1/vms/redis/console`);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await site.alpha.stop();
    await closed;
    await site.alpha.start();
  });

  it('rejects with words that say whether a manager is there at all', async () => {
    const nobody = createClient(publicApi, 'http://127.0.0.1:1', fetch, 'manager_unreachable');
    await assert.rejects(nobody.status(), (error) => error instanceof SealiftError && error.code === 'manager_unreachable');
  });
});
