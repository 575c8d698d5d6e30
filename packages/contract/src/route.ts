/** How an API is written down once, for the server's validation, for OpenAPI and for the typed client. */
import type { Static, TSchema } from 'typebox';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface Route {
  readonly method: Method;
  /** With `:name` for parameters, as Fastify writes them. */
  readonly path: string;
  readonly summary: string;
  readonly params?: TSchema;
  /** Of the URL's query; every property optional. */
  readonly query?: TSchema;
  readonly body?: TSchema;
  readonly response: TSchema;
  readonly status: 200 | 201 | 202;
  /** `events`: the response is a stream of Server-Sent Events, each `data` a JSON of the response schema. `socket`: a WebSocket of raw bytes. */
  readonly stream?: 'events' | 'socket';
  /** With `events`: each carries its `id`, and a client that comes back with `Last-Event-ID` misses none. */
  readonly resumable?: true;
}

export type Api = Readonly<Record<string, Route>>;

type Part<R extends Route, K extends 'params' | 'body'> = R[K] extends TSchema ? { readonly [P in K]: Static<R[K]> } : unknown;

type Query<R extends Route> = R['query'] extends TSchema ? { readonly query?: Static<R['query']> } : unknown;
/** The last event that was seen: the stream goes on behind it. */
type Resumption<R extends Route> = R extends { readonly resumable: true } ? { readonly lastEventId?: number } : unknown;

/** What a caller hands over: `params` and `body` where the route has them, `query` where it likes. */
export type Input<R extends Route> = Part<R, 'params'> & Part<R, 'body'> & Query<R> & Resumption<R>;
export type Output<R extends Route> = Static<R['response']>;

/** Keeps the literal types of an API while checking that it is one. */
export const defineApi = <const A extends Api>(api: A): A => api;
