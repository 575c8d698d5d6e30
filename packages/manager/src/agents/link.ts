/** The way to one host's agent: typed calls and consoles over mutual TLS 1.3, errors that name the host. */
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import {
  type AttemptReport,
  agentApi,
  type Client,
  createClient,
  errorOf,
  type Fetch,
  type HostReport,
  pathOf,
  type Route,
  SealiftError,
} from '@sealift/contract';
import { Agent, buildConnector, fetch } from 'undici';
import { openConsole } from './console.ts';
import { type Identity, Pin, tlsFor } from './identity.ts';
import { unreachable } from './reason.ts';

/** What answering "how are you" may take before the host counts as unreachable. */
const reportTimeoutMs = 5_000;
/** An agent keeps its event streams alive every 15 s; three lost in a row are a dead stream. */
const silenceMs = 45_000;
/** Starting QEMU with gigabytes to set up takes its time; a dead host is noticed by the poller long before. */
const answerMs = 180_000;
/** Disks are made before a definition is answered: copying an image takes as long as it takes. */
const copyMs = 3_600_000;
const copying = /^(POST \/v1\/(vms|images)|PUT \/v1\/vms\/[^/]+)$/;

/** A report, and by which name its host knows that state of things; undefined where the agent does not say. */
export interface Told {
  readonly report: HostReport;
  readonly revision: string | undefined;
}

/** The agent answers once it has another revision than this, at the latest after so many seconds. One that does not know of this answers at once. */
export interface Await {
  readonly revision: string;
  readonly seconds: number;
}

export class AgentLink {
  readonly host: string;
  readonly endpoint: string;
  readonly client: Client<typeof agentApi>;
  readonly #identity: Identity;
  readonly #pin: Pin;
  readonly #dispatcher: Agent;
  readonly #patient: Agent;

  /** @param keyHash of the host's key where it is known; else the first connection's counts */
  constructor(host: string, endpoint: string, identity: Identity, keyHash?: string) {
    this.host = host;
    this.endpoint = endpoint;
    this.#identity = identity;
    this.#pin = new Pin(keyHash);
    this.#dispatcher = new Agent({ connect: this.#connector(), headersTimeout: answerMs, bodyTimeout: silenceMs });
    this.#patient = new Agent({ connect: this.#connector(), headersTimeout: copyMs, bodyTimeout: silenceMs });
    const client = createClient(agentApi, `https://${endpoint}`, this.#fetch, 'agent_unreachable');
    this.client = { ...client, watchAttempt: ({ params }, signal) => this.watchAttempt(params.migration, 0, signal) };
  }

  /** The hash of the key that this host is held to. */
  get keyHash(): string | undefined {
    return this.#pin.keyHash;
  }

  /** What the host says of itself now. */
  async report(): Promise<HostReport> {
    return (await this.tell()).report;
  }

  /** What the host says of itself; with `await`, once that is something else. Prefer: RFC 7240 §4.3. */
  async tell(awaited?: Await): Promise<Told> {
    const signal = AbortSignal.timeout(reportTimeoutMs + (awaited?.seconds ?? 0) * 1000);
    const headers = awaited ? { prefer: `wait=${awaited.seconds}`, 'sealift-revision': awaited.revision } : {};
    try {
      const answer = await this.#request(agentApi.host, pathOf(agentApi.host), { accept: 'application/json', ...headers }, signal);
      const revision = answer.headers['sealift-revision'];
      const report = (await answer.body.json()) as HostReport; // as agents answer by the contract
      return { report, revision: typeof revision === 'string' ? revision : undefined };
    } catch (error) {
      throw error instanceof SealiftError ? error : unreachable(this.host, this.endpoint, error);
    }
  }

  /** A VM's serial console as a stream of raw bytes; the caller destroys it. */
  async console(vm: string): Promise<Duplex> {
    try {
      return await openConsole(this.endpoint, tlsFor(this.#identity, this.host), this.#pin, vm);
    } catch (error) {
      throw error instanceof SealiftError ? error : unreachable(this.host, this.endpoint, error);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#dispatcher.destroy(), this.#patient.destroy()]);
  }

  /**
   * As the contract's route, without the layers of fetch and of its streams.
   * @param progressSeconds how far it has come is to be told no more often than that; 0: as often as the agent likes, several times a second.
   * An agent that does not know of this does what it likes.
   */
  async *watchAttempt(migration: string, progressSeconds: number, signal?: AbortSignal): AsyncGenerator<AttemptReport> {
    const route = agentApi.watchAttempt;
    const headers = { accept: 'text/event-stream', ...(progressSeconds > 0 && { prefer: `progress=${progressSeconds}` }) };
    const answer = await this.#request(route, pathOf(route, { migration }), headers, signal).catch((error) => {
      throw error instanceof SealiftError || signal?.aborted ? error : unreachable(this.host, this.endpoint, error);
    });
    let rest = '';
    for await (const text of answer.body.setEncoding('utf8')) {
      const events = (rest + text).split('\n\n');
      rest = events.pop() ?? '';
      // An agent's events are one line of JSON each; comments keep the connection alive.
      for (const event of events) if (event.startsWith('data: ')) yield JSON.parse(event.slice(6)) as AttemptReport;
    }
  }

  /** @throws SealiftError the agent's refusal; any other error where it does not answer */
  async #request(route: Route, path: string, headers: Record<string, string>, signal?: AbortSignal) {
    const { method } = route;
    const origin = `https://${this.endpoint}`;
    const answer = await this.#dispatcher.request({ origin, path, method, headers, ...(signal && { signal }) });
    if (answer.statusCode === route.status) return answer;
    const refusal: unknown = await answer.body.json().catch(() => undefined);
    throw errorOf(refusal) ?? new SealiftError('internal', `${method} ${path} was answered with HTTP ${answer.statusCode}`);
  }

  readonly #fetch: Fetch = async (url, init) => {
    const dispatcher = copying.test(`${init.method} ${new URL(url).pathname}`) ? this.#patient : this.#dispatcher;
    try {
      // undici's Response is the one that Node's global type is made from; only the two packages' versions differ.
      return (await fetch(url, { ...init, dispatcher })) as unknown as Response;
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw unreachable(this.host, this.endpoint, error);
    }
  };

  #connector(): buildConnector.connector {
    const tls = tlsFor(this.#identity, this.host);
    // No session is resumed, so that every connection shows its certificate; HTTP/1.1, which every agent speaks.
    const connect = buildConnector({ ...tls, allowH2: false, maxCachedSessions: 0, timeout: reportTimeoutMs });
    return (options, callback) => {
      connect({ ...options, servername: tls.servername }, (...outcome) => {
        const [error, socket] = outcome;
        if (error) return callback(error, null);
        try {
          if (!(socket instanceof TLSSocket)) throw new Error('it does not speak TLS');
          this.#pin.check(socket);
        } catch (refusal) {
          socket.destroy();
          return callback(refusal instanceof Error ? refusal : new Error(String(refusal)), null);
        }
        return callback(null, socket);
      });
    };
  }
}
