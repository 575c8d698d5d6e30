/** Serves an API of the contract with Fastify: validation, serialisation, event streams and sockets follow from its routes. */
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';
import websocket from '@fastify/websocket';
import { type Api, ErrorBody, type Input, type Output, type Route, SealiftError } from '@sealift/contract';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createWebSocketStream } from 'ws';
import { answerError, errorStatuses } from './errors.ts';
import { readQuery } from './query.ts';
import { NamedSchemas, routesOf } from './schemas.ts';
import { type EventSource, sendEvents } from './sse.ts';

/**
 * What a route needs: an answer, a stream of events, or a stream of bytes to join the client's WebSocket to. A resumable stream is opened first,
 * which may refuse, and then has all the time that it likes until its first event.
 */
export type Handlers<A extends Api> = {
  readonly [K in keyof A]: A[K] extends { stream: 'events' }
    ? (
        input: Input<A[K]>,
        signal: AbortSignal,
      ) => A[K] extends { resumable: true } ? Promise<AsyncGenerator<Output<A[K]>>> : AsyncGenerator<Output<A[K]>>
    : A[K] extends { stream: 'socket' }
      ? (input: Input<A[K]>) => Promise<Duplex>
      : (input: Input<A[K]>) => Promise<Output<A[K]>>;
};

/** How long a closing server waits for its WebSocket clients to close as well. */
const farewellMs = 1_000;

type AnyHandler = (input: unknown, signal?: AbortSignal) => unknown;

/** Ajv's options: nothing a caller sends is changed or dropped, but what it leaves out gets the contract's defaults. */
export const ajvOptions = { coerceTypes: false, removeAdditional: false, useDefaults: true, allErrors: false, verbose: true } as const;

/**
 * Registers every route. The instance must have been made with {@link ajvOptions}.
 * @param guard throws for requests that are to be refused whatever they ask for
 */
export async function serveApi<A extends Api>(
  app: FastifyInstance,
  api: A,
  handlers: Handlers<A>,
  guard?: (request: FastifyRequest) => void,
): Promise<void> {
  const closing = new AbortController();
  app.addHook('preClose', async () => {
    closing.abort();
    // The plugin's hook, which comes next, says goodbye to each client and waits for it to say the same.
    setTimeout(() => app.websocketServer.clients.forEach((client) => void client.terminate()), farewellMs).unref();
  });
  await app.register(websocket, { options: { perMessageDeflate: false, maxPayload: 1024 * 1024 } });
  // Only after the WebSocket plugin's own hook: it closes the connection of a refused upgrade only if it has seen the request first.
  if (guard) app.addHook('onRequest', async (request) => guard(request));
  app.removeContentTypeParser('text/plain');
  app.setErrorHandler(answerError);
  app.setNotFoundHandler((request, reply) =>
    answerError(new SealiftError('not_found', `there is no ${request.method} ${request.url.split('?')[0]}`), request, reply),
  );

  const named = new NamedSchemas();
  const refusal = named.refer(ErrorBody);
  const routes = routesOf(api).map(([name, route]) => ({ name, route, schema: schemaOf(route, named, refusal) }));
  for (const schema of named.all()) app.addSchema(schema);
  for (const { name, route, schema } of routes) {
    // Handlers<A> says which shape each has; the branches below follow route.stream just as that type does.
    const handler = handlers[name] as AnyHandler;
    if (route.stream === 'socket') serveSocket(app, route, schema, handler as (input: unknown) => Promise<Duplex>);
    else if (route.stream === 'events') {
      serveEvents(app, route, schema, closing.signal, handler as (input: unknown, signal: AbortSignal) => EventSource);
    } else {
      app.route({
        method: route.method,
        url: route.path,
        schema,
        ...reading(route),
        handler: async (request, reply) => {
          const answer = await handler(inputOf(request, route));
          return reply.code(route.status).send(answer);
        },
      });
    }
  }
}

const schemaOf = (route: Route, named: NamedSchemas, refusal: object) => ({
  ...(route.params && { params: named.refer(route.params) }),
  ...(route.query && { querystring: named.refer(route.query) }),
  ...(route.body && { body: named.refer(route.body) }),
  response: {
    [route.status]: named.refer(route.response),
    ...Object.fromEntries(errorStatuses.map((status) => [status, refusal])),
  },
});

/** Reads the query before it is validated. */
const reading = ({ query }: Route) =>
  query && {
    preValidation: async (request: FastifyRequest) => {
      request.query = readQuery(query, request.query);
    },
  };

const inputOf = ({ params, query, body, headers }: FastifyRequest, route: Route): unknown => ({
  params,
  body,
  ...(route.query && { query }),
  ...(route.resumable && { lastEventId: lastEventIdOf(headers['last-event-id']) }),
});

function lastEventIdOf(header: unknown): number | undefined {
  if (header === undefined || header === '') return undefined;
  if (typeof header === 'string' && /^\d{1,15}$/.test(header)) return Number(header);
  throw new SealiftError('invalid_request', 'Last-Event-ID is not the number of an event');
}

function serveEvents(
  app: FastifyInstance,
  route: Route,
  schema: object,
  closing: AbortSignal,
  handler: (input: unknown, signal: AbortSignal) => EventSource,
): void {
  app.route({
    method: route.method,
    url: route.path,
    schema,
    ...reading(route),
    handler: (request, reply) => sendEvents(reply, closing, (signal) => handler(inputOf(request, route), signal)),
  });
}

/** The far end is opened before the upgrade, so that a refusal is an ordinary answer with an error body. */
function serveSocket(app: FastifyInstance, route: Route, schema: object, open: (input: unknown) => Promise<Duplex>): void {
  const opened = new WeakMap<FastifyRequest, Duplex>();
  app.route({
    method: 'GET',
    url: route.path,
    schema,
    preHandler: async (request: FastifyRequest, _reply: FastifyReply) => {
      if (request.ws) opened.set(request, await open(inputOf(request, route)));
    },
    handler: async () => {
      throw new SealiftError('invalid_request', `${route.path} is a WebSocket; ask for an upgrade`);
    },
    wsHandler: (socket, request) => {
      const far = opened.get(request);
      if (!far) return socket.terminate();
      const near = createWebSocketStream(socket);
      // Either side's end or error ends both; neither is news.
      pipeline(near, far, near, () => {
        far.destroy();
        near.destroy();
      });
    },
  });
}
