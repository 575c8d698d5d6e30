/** A typed client for an API. It is handed its way of reaching the server, so that it runs in a browser, over TLS or on a unix socket alike. */

import { Check } from 'typebox/value';
import { ErrorBody, SealiftError } from './errors.ts';
import type { Api, Input, Output, Route } from './route.ts';

/** What a client needs of `fetch`. */
export type Fetch = (
  url: string,
  init: { method: string; headers: Record<string, string>; body?: string; signal?: AbortSignal },
) => Promise<Response>;

type Call<R extends Route> =
  Record<never, never> extends Input<R>
    ? (input?: Input<R>, signal?: AbortSignal) => Promise<Output<R>>
    : (input: Input<R>, signal?: AbortSignal) => Promise<Output<R>>;

type Stream<R extends Route> =
  Record<never, never> extends Input<R>
    ? (input?: Input<R>, signal?: AbortSignal) => AsyncGenerator<Output<R>>
    : (input: Input<R>, signal?: AbortSignal) => AsyncGenerator<Output<R>>;

/** One method per route. A stream of events yields each event's data. Sockets are opened by their URL, see {@link pathOf}. */
export type Client<A extends Api> = {
  readonly [K in keyof A as A[K] extends { stream: 'socket' } ? never : K]: A[K] extends { stream: 'events' } ? Stream<A[K]> : Call<A[K]>;
};

/** The route's path with its parameters filled in. */
export const pathOf = (route: Route, params: Record<string, string> = {}): string =>
  route.path.replace(/:([a-z]+)/g, (_, name: string) => {
    const value = params[name];
    if (value === undefined) throw new TypeError(`${route.path}: parameter ${name} is missing`);
    return encodeURIComponent(value);
  });

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

function queryOf(query: Query = {}): string {
  const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)] as const]));
  return given.length === 0 ? '' : `?${new URLSearchParams(Object.fromEntries(given))}`;
}

/** The error that an answer's body carries; undefined where it carries none. Also for a WebSocket that was refused. */
export function errorOf(body: unknown): SealiftError | undefined {
  if (!Check(ErrorBody, body)) return undefined;
  const { code, message, details } = body.error;
  return new SealiftError(code, message, details ? { details } : {});
}

/**
 * @param base the server's origin, such as `http://127.0.0.1:8650`
 * @param unreachable the code to reject with when the server does not answer at all
 * @throws SealiftError from every method: the server's own, or `unreachable`
 */
export function createClient<A extends Api>(
  api: A,
  base: string,
  fetch: Fetch,
  unreachable: 'manager_unreachable' | 'agent_unreachable',
): Client<A> {
  type Parts = { params?: Record<string, string>; query?: Query; body?: unknown; lastEventId?: number };

  const request = async (route: Route, input: Parts | undefined, signal: AbortSignal | undefined, accept: string): Promise<Response> => {
    let response: Response;
    try {
      response = await fetch(base + pathOf(route, input?.params) + queryOf(input?.query), {
        method: route.method,
        headers: {
          accept,
          ...(input?.body !== undefined && { 'content-type': 'application/json' }),
          ...(input?.lastEventId !== undefined && { 'last-event-id': String(input.lastEventId) }),
        },
        ...(input?.body !== undefined && { body: JSON.stringify(input.body) }),
        ...(signal && { signal }),
      });
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      if (cause instanceof SealiftError) throw cause; // a fetch that knows better words for why there is no answer
      throw new SealiftError(unreachable, `no answer from ${base}: ${reasonOf(cause)}`, { cause });
    }
    if (response.ok) return response;
    const error = errorOf(await response.json().catch(() => undefined));
    throw error ?? new SealiftError('internal', `${route.method} ${route.path} was answered with HTTP ${response.status}`);
  };

  const client: Record<string, unknown> = {};
  for (const [name, route] of Object.entries(api)) {
    if (route.stream === 'socket') continue;
    client[name] =
      route.stream === 'events'
        ? async function* (input: Parts | undefined, signal?: AbortSignal) {
            const response = await request(route, input, signal, 'text/event-stream');
            if (response.body) yield* eventsOf(response.body);
          }
        : async (input: Parts | undefined, signal?: AbortSignal) => (await request(route, input, signal, 'application/json')).json();
  }
  return client as Client<A>; // built by name from the same table that the type is derived from
}

/** The JSON of each `data` of a stream of Server-Sent Events (WHATWG HTML §9.2); comments keep the connection alive and are skipped. */
async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<never> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    const events = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      const data = event
        .split('\n')
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice(5))
        .join('\n');
      if (data !== '') yield JSON.parse(data) as never; // the caller's type is the route's, which the server serialises by
    }
  }
}

const reasonOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
};
