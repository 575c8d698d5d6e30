/**
 * Lets the manager hear of news when they come, and not when it next asks: a report that is asked for with `Prefer: wait=SECONDS` (RFC 7240 §4.3) and
 * `Sealift-Revision`, the one that the last report came with, is answered once the revision is another, at the latest after the wait.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { agentApi } from '@sealift/contract';
import type { FastifyInstance } from 'fastify';

const lookMs = 200;
const longestSeconds = 30;

/** To be called before the routes are added. @param revision of what a report says, its figures aside */
export function answerOnNews(server: FastifyInstance, revision: () => string): void {
  const { method, path } = agentApi.host;
  server.addHook('preHandler', async ({ headers, raw, routeOptions }, reply) => {
    if (routeOptions.url !== path || raw.method !== method) return;
    const seconds = Number(/^wait=(\d{1,4})$/.exec(String(headers['prefer'] ?? ''))?.[1] ?? 0);
    const end = performance.now() + Math.min(seconds, longestSeconds) * 1000;
    while (headers['sealift-revision'] === revision() && performance.now() < end && !raw.socket.destroyed) await sleep(lookMs);
    // Before the report is made: what happens in between is told by the next one.
    reply.header('sealift-revision', revision());
  });
}
