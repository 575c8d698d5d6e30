/** The server of the agent's API: every route of the contract, its schemas checked, its errors mapped, for the manager and, where said, for other agents. */

import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import websocket from '@fastify/websocket';
import { type Api, type AttemptReport, agentApi, type Input, type Output, type Route, SealiftError } from '@sealift/contract';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest, LogController } from 'fastify';
import type { Logger } from 'pino';
import { Convert } from 'typebox/value';
import { type Certificates, isAgents, managerName, names } from '../certificates.ts';
import { answerOnNews } from './awaited.ts';
import { joinConsole } from './console.ts';
import { toSealiftError } from './errors.ts';
import { sendEvents } from './events.ts';
import { progressMs, sparsely } from './sparse.ts';

/** What answers a route: a value, a stream of values, or a socket to be joined to the client's. */
type Handler<R extends Route> = R extends { stream: 'events' }
  ? (input: Input<R>, signal: AbortSignal) => AsyncIterable<Output<R>>
  : R extends { stream: 'socket' }
    ? (input: Input<R>) => Promise<Socket>
    : (input: Input<R>) => Promise<Output<R>>;

export type Handlers<A extends Api> = { readonly [K in keyof A]: Handler<A[K]> };

/** What other hosts' agents may ask as well: a statement is believed for its signature, whoever brings it. */
const forAgentsToo: readonly (keyof typeof agentApi)[] = ['settleAttempt'];

/** A definition with 16 disks and a long command line stays far below. */
const bodyLimit = 256 * 1024;

/** Not listening yet. @param revision of the host's report, see {@link answerOnNews} */
export async function createServer(
  handlers: Handlers<typeof agentApi>,
  certificates: Certificates,
  log: Logger,
  revision: () => string,
): Promise<FastifyInstance> {
  const server = Fastify({
    // Fastify's own type of a logger is what pino's is, less the level names of this one.
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    bodyLimit,
    https: {
      ...certificates.pem,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    },
    // What the contract does not know is refused, and a string is not a number.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: true } },
  });
  server.setErrorHandler((error, request, reply) => {
    const mapped = toSealiftError(error);
    const level = mapped.code === 'internal' ? 'error' : 'info';
    log[level]({ err: error, code: mapped.code, method: request.method, url: request.url }, 'request refused');
    return reply.status(mapped.status).send(mapped.toBody());
  });
  server.setNotFoundHandler((request) => {
    throw new SealiftError('not_found', `the agent has no ${request.method} ${request.url}`);
  });
  server.addHook('onResponse', async (request, reply) => {
    log.debug({ method: request.method, url: request.url, status: reply.statusCode, ms: reply.elapsedTime }, 'answered');
  });
  await server.register(websocket);
  // After the plugin, which otherwise would leave the connection of a refused upgrade open.
  const openPaths = new Set(forAgentsToo.map((name) => agentApi[name].path as string));
  server.addHook('onRequest', async (request) => {
    const { url } = request.routeOptions;
    requireClient(request, url !== undefined && openPaths.has(url));
  });
  answerOnNews(server, revision);
  // The plugin above has to be loaded before the routes that use it are added.
  await server.register((scope, _options, done) => {
    for (const name of Object.keys(agentApi) as (keyof typeof agentApi)[]) {
      // Each handler belongs to the route of its name (Handlers); a union of routes cannot say so.
      addRoute(scope, agentApi[name], handlers[name] as unknown as AnyHandler, log);
    }
    done();
  });
  return server;
}

type AnyHandler = (input: unknown, signal?: AbortSignal) => unknown;

function addRoute(scope: FastifyInstance, route: Route, handler: AnyHandler, log: Logger): void {
  const schema = {
    ...(route.params && { params: route.params }),
    ...(route.query && { querystring: route.query }),
    ...(route.body && { body: route.body }),
  };
  const { method, path: url } = route;
  const inputOf = (request: FastifyRequest) => ({ params: request.params, query: request.query, body: request.body });
  if (route.stream === 'socket') {
    const sockets = new WeakMap<FastifyRequest, Socket>();
    scope.route({
      method,
      url,
      schema,
      // Before the upgrade, while the answer can still be an error.
      preHandler: async (request) => {
        if (!request.ws) throw new SealiftError('invalid_request', `${url} is a WebSocket`);
        sockets.set(request, (await handler(inputOf(request))) as Socket); // by Handler
      },
      handler: () => {},
      wsHandler: (client, request) => {
        const socket = sockets.get(request);
        if (socket) void joinConsole(socket, client);
      },
    });
  } else if (route.stream === 'events') {
    scope.route({
      method,
      url,
      schema,
      handler: async (request, reply) => {
        const ms = progressMs(request.headers['prefer']);
        // By Handler; the only events of this API are those of attempts.
        const all = (signal: AbortSignal) => handler(inputOf(request), signal) as AsyncIterable<AttemptReport>;
        const follow = ms === 0 ? all : (signal: AbortSignal) => sparsely(all(signal), ms);
        try {
          await sendEvents(reply, follow);
        } catch (error) {
          if (!reply.sent) throw error;
          log.warn({ err: error, url: request.url }, 'a stream of events broke off');
        }
      },
    });
  } else {
    scope.route({
      method,
      url,
      schema: { ...schema, response: { [route.status]: route.response } },
      preValidation: async (request) => {
        if (route.query) request.query = Convert(route.query, request.query); // in a URL everything is a string
      },
      handler: async (request, reply) => {
        const answer = await handler(inputOf(request));
        return reply.status(route.status).send(answer);
      },
    });
  }
}

/** Connections of the manager. */
const checked = new WeakSet<TLSSocket>();

/** TLS has verified the chain; whose certificate it is, is for us to look at: an agent's would pass as well. */
function requireClient(request: FastifyRequest, agents: boolean): void {
  const socket = request.raw.socket as TLSSocket; // the server speaks nothing but TLS
  if (checked.has(socket)) return;
  const certificate = socket.getPeerX509Certificate();
  if (certificate && names(certificate, managerName)) checked.add(socket);
  else if (!certificate || !agents || !isAgents(certificate)) {
    throw new SealiftError('not_authorised', `this certificate is not the manager's: it must carry the DNS name ${managerName}`);
  }
}
