/**
 * The public API as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0), made from the same routes and schemas that the manager
 * serves and checks by, so that it cannot say anything else. Pure: no manager is needed.
 */
import { ErrorBody, errorCodes } from './errors.ts';
import { Components, type Json } from './openapi-schemas.ts';
import { publicApi } from './public-api.ts';
import type { Api, Route } from './route.ts';

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: Json;
  readonly servers: readonly Json[];
  readonly tags: readonly Json[];
  /** By path, then by method in lower case. */
  readonly paths: Readonly<Record<string, Readonly<Record<string, Json>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>>; readonly responses: Readonly<Record<string, Json>> };
}

const title = 'sealift manager';
const description = [
  'Moves running virtual machines between hosts, sealed. Served on a unix socket and on loopback TCP; there is no sign-in, and requests of',
  'web pages of other origins are refused. Times are milliseconds, sizes bytes, where a name does not say otherwise.',
].join(' ');

/** Of the manager's public API. @param version of the manager that serves it */
export function openApiOf(version: string): OpenApiDocument {
  const components = new Components();
  const routes: [string, Route][] = Object.entries(publicApi satisfies Api);
  const paths: Record<string, Record<string, Json>> = {};
  const add = (path: string, method: string, operation: Json) => {
    paths[path] = { ...paths[path], [method]: operation };
  };
  for (const [name, route] of routes) {
    add(route.path.replace(/:([a-z]+)/g, '{$1}'), route.method.toLowerCase(), operationOf(name, route, components));
  }
  for (const [path, operation] of Object.entries(besides)) add(path, 'get', operation);
  const tags = [...new Set(Object.values(paths).flatMap((path) => Object.values(path).flatMap(({ tags }) => tags as string[])))]; // as made below
  return {
    openapi: '3.1.0',
    info: { title, version, description, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: 'http://127.0.0.1:8650', description: 'The manager as it is started by default' }],
    tags: tags.map((name) => ({ name })),
    paths,
    components: { responses: refusals(components), schemas: components.schemas },
  };
}

/** What the manager serves that is no route of the typed client. */
const besides: Readonly<Record<string, Json>> = {
  '/v1/openapi.json': {
    operationId: 'openApi',
    summary: 'This document',
    tags: ['status'],
    responses: { 200: { description: 'OpenAPI 3.1', content: { 'application/json': { schema: { type: 'object' } } } } },
  },
  '/metrics': {
    operationId: 'metrics',
    summary: 'What Prometheus scrapes',
    tags: ['status'],
    responses: { 200: { description: 'Text exposition format 0.0.4', content: { 'text/plain': { schema: { type: 'string' } } } } },
  },
};

function operationOf(operationId: string, route: Route, components: Components): Json {
  const parameters = [...parametersOf('path', route, components), ...parametersOf('query', route, components)];
  if (route.resumable) parameters.push(lastEventId);
  return {
    operationId,
    summary: route.summary,
    tags: [route.path.split('/')[2]],
    ...(parameters.length > 0 && { parameters }),
    ...(route.body && { requestBody: { required: true, content: { 'application/json': { schema: components.asked(route.body) } } } }),
    responses: {
      ...answerOf(route, components),
      ...Object.fromEntries(errorStatuses.map((status) => [status, { $ref: `#/components/responses/Error${status}` }])),
    },
  };
}

const lastEventId: Json = {
  name: 'Last-Event-ID',
  in: 'header',
  description: 'The id of the last event that was seen: the stream goes on behind it, without a gap',
  schema: { type: 'integer', minimum: 0 },
};

function parametersOf(place: 'path' | 'query', { params, query }: Route, components: Components): Json[] {
  const schema = place === 'path' ? params : query;
  if (!schema || !('properties' in schema)) return [];
  const required = 'required' in schema ? (schema.required as readonly string[]) : []; // an object's schema
  return Object.entries(schema.properties as Record<string, object>).map(([name, each]) => {
    const { description: words, ...rest } = components.asked(each);
    return {
      name,
      in: place,
      ...((place === 'path' || (required.includes(name) && !('default' in each))) && { required: true }),
      ...(words !== undefined && { description: words }),
      schema: rest,
    };
  });
}

function answerOf({ status, response, stream, resumable }: Route, components: Components): Json {
  if (stream === 'socket') {
    const words = 'A WebSocket (RFC 6455). Binary messages either way are the bytes of the console; text messages are taken as bytes too';
    return { 101: { description: words } };
  }
  const schema = components.answered(response);
  if (stream !== 'events') return { [status]: { description: 'Done', content: { 'application/json': { schema } } } };
  const words = resumable
    ? 'Each has its number as `id`. The stream does not end by itself'
    : 'The first is the state as it is, the last the end';
  const text = { type: 'string', description: 'Server-Sent Events; the `data` of each is JSON of `x-data`. Comments keep it alive' };
  return { [status]: { description: words, content: { 'text/event-stream': { schema: text, 'x-data': schema } } } };
}

/** `manager_unreachable` is made by clients. */
const served = Object.entries(errorCodes).filter(([code]) => code !== 'manager_unreachable');
const errorStatuses = [...new Set(served.map(([, { status }]) => status))].sort();

function refusals(components: Components): Record<string, Json> {
  const schema = components.answered(ErrorBody);
  return Object.fromEntries(
    errorStatuses.map((status) => {
      const codes = served.filter(([, each]) => each.status === status).map(([code]) => `\`${code}\``);
      return [`Error${status}`, { description: `Refused or failed: ${codes.join(', ')}`, content: { 'application/json': { schema } } }];
    }),
  );
}
