/** Server-Sent Events (WHATWG HTML §9.2) from an async iterable. */
import { once } from 'node:events';
import type { FastifyReply } from 'fastify';

/** Comments between events, so that nobody on the way takes a quiet stream for a dead one. */
const keepAliveMs = 15_000;

/**
 * Sends each item as one event and ends the stream after the last. The status line waits for the first item, so that an iterable that throws at once is
 * answered as an error; one that throws later breaks the connection off, which no client takes for an orderly end.
 * @param follow is handed a signal that aborts when the client has gone
 */
export async function sendEvents(reply: FastifyReply, follow: (signal: AbortSignal) => AsyncIterable<unknown>): Promise<void> {
  const { raw } = reply;
  const gone = new AbortController();
  raw.once('close', () => gone.abort());
  const items = follow(gone.signal)[Symbol.asyncIterator]();
  let item = await items.next();

  reply.hijack();
  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const keepAlive = setInterval(() => raw.write(': keep-alive\n\n'), keepAliveMs);
  try {
    while (!item.done && !gone.signal.aborted) {
      const fits = raw.write(`data: ${JSON.stringify(item.value)}\n\n`);
      if (!fits) await once(raw, 'drain', { signal: gone.signal });
      item = await items.next();
    }
    raw.end();
  } catch (error) {
    raw.destroy();
    if (!gone.signal.aborted) throw error;
  } finally {
    clearInterval(keepAlive);
    await items.return?.();
  }
}
