/**
 * Sends a stream of Server-Sent Events (WHATWG HTML §9.2). Of most, resuming is asking again: the first event is the state as it is. Those of a
 * resumable stream have numbers, and the client that comes back names the last one it has seen.
 */
import { once } from 'node:events';
import type { FastifyReply } from 'fastify';

/** Shorter than the idle time after which proxies and NAT forget a connection. */
const keepAliveMs = 15_000;

/** A promise of a stream is a resumable one: each of its events has an `id`. */
export type EventSource = AsyncGenerator<unknown> | Promise<AsyncGenerator<unknown>>;

/**
 * What fails before the first event is thrown, for an ordinary error answer. Reading on waits for the client to take what was written.
 * @param open starts the stream; its signal is aborted when the client has gone or the server closes
 */
export async function sendEvents(
  reply: FastifyReply,
  closing: AbortSignal,
  open: (signal: AbortSignal) => EventSource,
  aliveMs: number = keepAliveMs,
): Promise<void> {
  const gone = new AbortController();
  const { raw } = reply;
  raw.once('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, closing]);
  const source = open(signal);
  const resumable = source instanceof Promise;
  const events = await source;
  // Of a stream that may stay silent for long the client is told at once that it is there.
  const first = resumable ? undefined : await events.next();

  reply.hijack();
  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  raw.flushHeaders();
  // A client that takes nothing is not sent more to keep the connection alive.
  const keepAlive = setInterval(() => raw.writableNeedDrain || raw.write(': \n\n'), aliveMs);
  try {
    for (let next = first ?? (await events.next()); !next.done; next = await events.next()) {
      if (!raw.write(`${resumable ? idOf(next.value) : ''}data: ${JSON.stringify(next.value)}\n\n`)) await once(raw, 'drain', { signal });
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

const idOf = (event: unknown): string => (typeof event === 'object' && event !== null && 'id' in event ? `id: ${String(event.id)}\n` : '');
