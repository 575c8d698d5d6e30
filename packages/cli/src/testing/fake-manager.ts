/**
 * A manager in this process with a few hosts and VMs in memory. It serves publicApi by its own table and holds both directions to its
 * schemas: a request that the contract does not allow is refused, an answer that it does not allow fails the test, so neither the CLI
 * nor this fake can drift from it.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type ErrorCode, publicApi, type Route, SealiftError } from '@sealift/contract';
import { Convert, Default, Errors } from 'typebox/value';
import { type WebSocket, WebSocketServer } from 'ws';

export interface Call {
  readonly route: string;
  readonly params: Readonly<Record<string, string>>;
  readonly body: unknown;
  /** Where the URL has one. */
  readonly query?: Readonly<Record<string, unknown>>;
  /** Of a stream that goes on where another one ended. */
  readonly lastEventId?: number;
}

/** What a route answers: the response's body, for a stream of events an iterable of them; thrown SealiftErrors become the API's. */
export type Handlers = Partial<Record<keyof typeof publicApi, (call: Call) => unknown>>;

export class FakeManager implements AsyncDisposable {
  /** Every call that the contract allowed, in order. */
  readonly calls: Call[] = [];
  /** Answers of this fake that the contract does not allow; empty, or the test is wrong. */
  readonly faults: string[] = [];
  onConsole: (socket: WebSocket) => void = (socket) => socket.close();

  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #handlers: Handlers;

  private constructor(handlers: Handlers) {
    this.#handlers = handlers;
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => void this.#upgrade(request, socket, head));
  }

  /** @param path of a unix socket; without it, a free port of loopback */
  static async start(handlers: Handlers, path?: string): Promise<FakeManager> {
    const manager = new FakeManager(handlers);
    if (path === undefined) manager.#server.listen(0, '127.0.0.1');
    else manager.#server.listen(path);
    await once(manager.#server, 'listening');
    return manager;
  }

  /** As --manager takes it. */
  get url(): string {
    const address = this.#server.address() as AddressInfo | string; // it listens
    return typeof address === 'string' ? `unix:${address}` : `http://127.0.0.1:${address.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    assert.deepEqual(this.faults, []);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { name, route, call } = await this.#understand(request);
      this.calls.push(call);
      const answer = await this.#handlers[name]?.(call);
      if (answer === undefined) throw new SealiftError('not_found', `this manager knows no answer to ${name}`);
      if (route.stream !== 'events') {
        this.#holdTo(route, answer);
        response.writeHead(route.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': hello\n\n');
      for await (const event of answer as AsyncIterable<unknown>) {
        this.#holdTo(route, event);
        const id = route.resumable ? `id: ${(event as { id: number }).id}\n` : ''; // it has just been held to the schema of an event
        response.write(`${id}data: ${JSON.stringify(event)}\n\n`);
      }
      response.end();
    } catch (error) {
      if (response.headersSent) return void response.destroy();
      const { status, body } = asAnswer(error);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    }
  }

  async #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    try {
      const { name, call } = await this.#understand(request);
      this.calls.push(call);
      await this.#handlers[name]?.(call);
      this.#sockets.handleUpgrade(request, socket, head, (opened) => this.onConsole(opened));
    } catch (error) {
      const { status, body } = asAnswer(error);
      const text = JSON.stringify(body);
      socket.end(
        `HTTP/1.1 ${status} No\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\nconnection: close\r\n\r\n${text}`,
      );
    }
  }

  async #understand(request: IncomingMessage): Promise<{ name: keyof typeof publicApi; route: Route; call: Call }> {
    const url = new URL(request.url ?? '', 'http://manager');
    const path = url.pathname.split('/');
    for (const [name, route] of Object.entries(publicApi) as [keyof typeof publicApi, Route][]) {
      const pattern = route.path.split('/');
      if (route.method !== request.method || pattern.length !== path.length) continue;
      if (!pattern.every((part, n) => part.startsWith(':') || part === path[n])) continue;
      const params = Object.fromEntries(
        pattern.flatMap((part, n) => (part.startsWith(':') ? [[part.slice(1), decodeURIComponent(path[n] ?? '')]] : [])),
      );
      let text = '';
      for await (const chunk of request.setEncoding('utf8')) text += chunk;
      const body: unknown = route.body ? Default(route.body, text === '' ? undefined : JSON.parse(text)) : undefined;
      const query = url.search === '' ? undefined : queryOf(route, url.searchParams);
      const wrong = [
        ...(route.params ? Errors(route.params, params) : []),
        ...(route.query && query ? Errors(route.query, query) : []),
        ...(route.body ? Errors(route.body, body) : []),
      ];
      if (wrong.length > 0) {
        throw new SealiftError('invalid_request', wrong.map(({ instancePath, message }) => `${instancePath} ${message}`).join('; '));
      }
      const last = request.headers['last-event-id'];
      const call = { route: name, params, body, ...(query && { query }), ...(last !== undefined && { lastEventId: Number(last) }) };
      return { name, route, call };
    }
    throw new SealiftError('not_found', `there is no ${request.method} ${request.url}`);
  }

  #holdTo(route: Route, answer: unknown): void {
    this.faults.push(
      ...[...Errors(route.response, answer)].map(({ instancePath, message }) => `${route.path}: ${instancePath} ${message}`),
    );
  }
}

/** Numbers and truths as such; a query that the route does not have is refused. */
function queryOf(route: Route, query: URLSearchParams): Record<string, unknown> {
  if (!route.query) throw new SealiftError('invalid_request', `${route.path} takes no query`);
  return Convert(route.query, Object.fromEntries(query)) as Record<string, unknown>; // of the object that was put in
}

function asAnswer(error: unknown): { status: number; body: unknown } {
  const known = error instanceof SealiftError ? error : new SealiftError('internal' satisfies ErrorCode, String(error));
  return { status: known.status, body: known.toBody() };
}

/** Ends the events of a migration or a task, as the manager does, after the last. */
export async function* eventsOf<T>(...states: readonly T[]): AsyncGenerator<T> {
  yield* states;
}
