/**
 * Serves all simulated hosts at one port of loopback, mutual TLS 1.3: which host a connection is for, its SNI says (`NAME.agent.sealift`), and each
 * host shows its own certificate. Routes are told apart by hand: a server of its own for each of thousands of hosts would be most of the memory.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { type IncomingRequest, type OutgoingRequest, SealiftError, type VmDefinition } from '@sealift/contract';
import { type Identity, managerDnsName } from '../certificates.ts';
import { offerKey, type SimHost } from './host.ts';

/** A connection that is idle for so long is closed; what the agent's HTTP server does as well. */
const keepAliveMs = 72_000;

export interface Served {
  readonly host: SimHost;
  readonly identity: Identity;
}

/** @param hosts by the name in their certificate. @returns the server, listening, and its port */
export async function serve(hosts: ReadonlyMap<string, Served>): Promise<{ server: Server; port: number }> {
  const contexts = new Map<string, SecureContext>();
  const [any] = hosts.values();
  if (!any) throw new Error('there is no host to serve');
  const contextOf = (name: string): SecureContext | undefined => {
    const known = contexts.get(name);
    if (known) return known;
    const served = hosts.get(name);
    if (!served) return undefined;
    const context = createSecureContext({ ...pemOf(served.identity), minVersion: 'TLSv1.3' });
    contexts.set(name, context);
    return context;
  };
  const server = createServer(
    {
      ...pemOf(any.identity),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
      keepAliveTimeout: keepAliveMs,
      SNICallback: (name, done) => {
        const context = contextOf(name);
        done(context ? null : new Error(`no host ${name}`), context);
      },
    },
    (request, response) => void answer(hosts, request, response),
  );
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, resolve);
  });
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('the server has no address');
  return { server, port: address.port };
}

const pemOf = ({ certificate, key, ca }: Identity) => ({ cert: readFileSync(certificate), key: readFileSync(key), ca: caOf(ca) });

let caText: { path: string; pem: Buffer } | undefined;
const caOf = (path: string): Buffer => {
  caText = caText?.path === path ? caText : { path, pem: readFileSync(path) };
  return caText.pem;
};

const managers = new WeakSet<TLSSocket>();

function hostOf(hosts: ReadonlyMap<string, Served>, { socket }: IncomingMessage): SimHost {
  if (!(socket instanceof TLSSocket)) throw new SealiftError('not_authorised', 'this is not TLS');
  if (!managers.has(socket)) {
    if (socket.getPeerX509Certificate()?.checkHost(managerDnsName) === undefined)
      throw new SealiftError('not_authorised', 'this is not the manager');
    managers.add(socket);
  }
  const served = hosts.get(String(socket.servername));
  if (!served) throw new SealiftError('not_found', 'there is no such host');
  return served.host;
}

async function answer(hosts: ReadonlyMap<string, Served>, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const host = hostOf(hosts, request);
    const [, , kind = '', name = '', action = ''] = (request.url ?? '').split('/');
    const route = `${request.method} ${kind}`;
    if (route === 'GET host') await sendReport(host, request, response);
    else if (route === 'GET attempts' && action === 'events') watch(host, name, request, response);
    else {
      const { status, body } = act(host, { route, name, action }, await bodyOf(request));
      send(response, status, Buffer.from(JSON.stringify(body)));
    }
  } catch (error) {
    const known = error instanceof SealiftError ? error : new SealiftError('internal', String(error));
    send(response, known.status, Buffer.from(JSON.stringify(known.toBody())));
  }
}

const on = ['running', 'paused'] as const;
const off = ['stopped', 'crashed'] as const;
/** Of each order: the states that it is taken in, and the one that follows. */
const power = {
  start: { from: off, to: 'running' },
  suspend: { from: on, to: 'paused' },
  resume: { from: on, to: 'running' },
  reset: { from: on, to: undefined },
} as const;

/** @throws SealiftError */
function act(
  host: SimHost,
  { route, name, action }: { route: string; name: string; action: string },
  body: unknown,
): { status: number; body: unknown } {
  // The bodies are what the manager makes by the contract's schema.
  if (route === 'POST attempts') {
    if (name === 'keys') return { status: 201, body: offerKey() };
    if (name === 'incoming') return { status: 201, body: host.incoming(body as IncomingRequest) };
    if (name === 'outgoing') return { status: 202, body: host.outgoing(body as OutgoingRequest) };
    if (action === 'cancel') return { status: 202, body: host.cancel(name) };
  }
  if (route === 'GET attempts') return { status: 200, body: host.attempt(name).report };
  if (route === 'GET vms') return { status: 200, body: host.vm(name) };
  if (route === 'POST vms' && name === '') return { status: 201, body: host.define(body as VmDefinition) };
  if (route === 'PUT vms') return { status: 200, body: host.redefine(name, body as VmDefinition) };
  if (route === 'POST vms' && action === 'stop') {
    const { force } = body as { force: boolean };
    return { status: 200, body: host.order(name, force ? [...on, 'stopped'] : on, 'stopped') };
  }
  if (route === 'POST vms' && (action === 'start' || action === 'suspend' || action === 'resume' || action === 'reset')) {
    const { from, to } = power[action];
    return { status: 200, body: host.order(name, from, to) };
  }
  if (route === 'DELETE vms') {
    host.remove(name);
    return { status: 200, body: {} };
  }
  throw new SealiftError('not_found', `a simulated agent has no ${route} ${action}`);
}

/** As `Prefer: wait` (RFC 7240) and the revision that the caller has seen say: at the next change, or after the wait. */
async function sendReport(host: SimHost, { headers, socket }: IncomingMessage, response: ServerResponse): Promise<void> {
  const seconds = /^wait=(\d{1,2})$/.exec(String(headers['prefer'] ?? ''))?.[1];
  if (seconds !== undefined && headers['sealift-revision'] === String(host.revision)) {
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), Number(seconds) * 1000);
    const gone = () => over.abort();
    socket.once('close', gone);
    await host.changed(over.signal);
    clearTimeout(timer);
    socket.off('close', gone);
  }
  send(response, 200, host.report(), { 'sealift-revision': String(host.revision) });
}

/** Progress as seldom as `Prefer: progress=SECONDS` says, and as a real agent does it. */
function watch(host: SimHost, migration: string, { headers }: IncomingMessage, response: ServerResponse): void {
  const seconds = Number(/^progress=(\d{1,2})$/.exec(String(headers['prefer'] ?? ''))?.[1] ?? 0);
  const attempt = host.attempt(migration);
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const stop = attempt.watch(response, seconds * 1000);
  response.on('drain', () => attempt.drained(response));
  response.once('close', stop);
}

function send(response: ServerResponse, status: number, body: Buffer, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length, ...headers });
  response.end(body);
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer); // without an encoding, a stream of bytes
  return chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
}
