/** Sends a stream of Server-Sent Events (WHATWG HTML §9.2). Resuming is asking again: the first event is the state as it is. */
import { once } from 'node:events';
import type { FastifyReply } from 'fastify';

/** Shorter than the idle time after which proxies and NAT forget a connection. */
const keepAliveMs = 15_000;

/**
 * What fails before the first event is thrown, for an ordinary error answer. Reading on waits for the client to take what was written.
 * @param open starts the stream; its signal is aborted when the client has gone or the server closes
 */
export async function sendEvents(
  reply: FastifyReply,
  closing: AbortSignal,
  open: (signal: AbortSignal) => AsyncGenerator<unknown>,
  aliveMs: number = keepAliveMs,
): Promise<void> {
  const gone = new AbortController();
  const { raw } = reply;
  raw.once('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, closing]);
  const events = open(signal);
  let next = await events.next();

  reply.hijack();
  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const keepAlive = setInterval(() => raw.write(': \n\n'), aliveMs);
  try {
    for (; !next.done; next = await events.next()) {
      if (!raw.write(`data: ${JSON.stringify(next.value)}\n\n`)) await once(raw, 'drain', { signal });
    }
  } catch (error) {
    // Too late for an error answer. The client sees the stream end without a final event and asks again.
    if (!signal.aborted) reply.log.error({ err: error }, 'a stream of events broke off');
  } finally {
    clearInterval(keepAlive);
    await events.return(undefined);
    raw.end();
  }
}
