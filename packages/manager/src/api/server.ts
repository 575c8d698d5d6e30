/** The public API as a Fastify server; one is made for each place it is served at. */
import { openApiOf, publicApi } from '@sealift/contract';
import fastify, { type FastifyInstance, LogController } from 'fastify';
import type { Logger } from 'pino';
import type { Metrics } from '../metrics/metrics.ts';
import { checkOrigin } from './origin.ts';
import { ajvOptions, type Handlers, serveApi } from './serve.ts';

export interface ServerOptions {
  readonly handlers: Handlers<typeof publicApi>;
  readonly metrics: Pick<Metrics, 'contentType' | 'render'>;
  readonly log: Logger;
  readonly version: string;
  /** Whether browsers can reach this server: true on TCP, false on a unix socket. */
  readonly guardOrigin: boolean;
}

export async function createServer({ handlers, metrics, log, version, guardOrigin }: ServerOptions): Promise<FastifyInstance> {
  const app = fastify({
    // Neither each request nor where it listens is news; the manager says the latter itself, once all is ready.
    loggerInstance: log.child({}, { level: log.isLevelEnabled('warn') ? 'warn' : log.level }),
    logController: new LogController({ disableRequestLogging: true }),
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    bodyLimit: 256 * 1024,
    ajv: { customOptions: ajvOptions },
  }) as unknown as FastifyInstance; // only its logger's type differs: pino's own in place of Fastify's subset of it
  await serveApi(app, publicApi, handlers, guardOrigin ? (request) => checkOrigin(request.headers) : undefined);
  const openApi = openApiOf(version);
  for (const path of ['/v1/openapi.json', '/openapi.json']) app.get(path, async () => openApi);
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.render()));
  return app;
}
