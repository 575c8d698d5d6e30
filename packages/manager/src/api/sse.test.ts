import assert from 'node:assert/strict';
import { it } from 'node:test';
import fastify from 'fastify';
import { sendEvents } from './sse.ts';

it('keeps a quiet stream alive with comments, and ends it when the server closes', async () => {
  const app = fastify();
  const closing = new AbortController();
  const opened = Promise.withResolvers<AbortSignal>();
  app.get('/events', (_request, reply) =>
    sendEvents(
      reply,
      closing.signal,
      async function* (signal) {
        yield { first: true };
        opened.resolve(signal);
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      },
      1,
    ),
  );
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  try {
    const { body, headers } = await fetch(`${url}/events`);
    assert.equal(headers.get('content-type'), 'text/event-stream');
    let text = '';
    for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      if (text.includes(': \n\n: \n\n')) closing.abort();
    }
    assert.match(text, /^data: \{"first":true\}\n\n(: \n\n){2}/);
    assert.ok((await opened.promise).aborted);
  } finally {
    await app.close();
  }
});
