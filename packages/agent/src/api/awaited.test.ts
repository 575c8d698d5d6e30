import assert from 'node:assert/strict';
import { it } from 'node:test';
import Fastify from 'fastify';
import { answerOnNews } from './awaited.ts';

it('a report that is awaited comes with the next revision, or after the wait; every other at once', async () => {
  let [revision, looks] = ['a', 0];
  const server = Fastify();
  answerOnNews(server, () => {
    looks++;
    return revision;
  });
  server.get('/v1/host', async () => ({ revision }));
  server.get('/v1/vms/web', async () => ({}));
  const ask = (headers: Record<string, string> = {}, url = '/v1/host') => server.inject({ method: 'GET', url, headers });
  try {
    const first = await ask();
    assert.deepEqual([first.headers['sealift-revision'], first.json()], ['a', { revision: 'a' }]);
    assert.equal((await ask({ 'sealift-revision': 'a' })).headers['sealift-revision'], 'a');
    assert.equal((await ask({ 'sealift-revision': 'old', prefer: 'wait=30' })).headers['sealift-revision'], 'a');
    assert.equal((await ask({ 'sealift-revision': 'a', prefer: 'wait=1' })).headers['sealift-revision'], 'a');
    assert.equal((await ask({ 'sealift-revision': 'a', prefer: 'wait=30' }, '/v1/vms/web')).headers['sealift-revision'], undefined);
    looks = 0;
    const awaited = ask({ 'sealift-revision': 'a', prefer: 'wait=30' });
    while (looks < 2) await new Promise(setImmediate);
    revision = 'b';
    assert.deepEqual((await awaited).json(), { revision: 'b' });
  } finally {
    await server.close();
  }
});
