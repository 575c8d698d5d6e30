/** Serves a {@link FakeHost} as its agent would: HTTPS on loopback, mutual TLS 1.3, for the manager and, to settle, for agents. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { agentApi, SealiftError } from '@sealift/contract';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Identity, keyHashOf } from '../agents/identity.ts';
import { ajvOptions, serveApi } from '../api/serve.ts';
import { type Fabric, FakeHost } from './fake-host.ts';

export class FakeAgent {
  readonly host: FakeHost;
  /** Calls that are carried out, but whose answer is lost on the way. */
  readonly lostAnswers = new Set<keyof typeof agentApi>();
  /** Answers a report that is awaited only once its VMs are others, as a real agent does. */
  tellsNews = false;
  readonly #identity: Identity;
  #server: FastifyInstance | undefined;
  #port = 0;

  private constructor(host: FakeHost, identity: Identity) {
    this.host = host;
    this.#identity = identity;
  }

  /** @param identity a certificate for `NAME.agent.sealift` */
  static async start(name: string, identity: Identity, fabric: Fabric): Promise<FakeAgent> {
    const certificate = new X509Certificate(identity.cert);
    const signer = { keyHash: keyHashOf(certificate), certificate, privateKey: createPrivateKey(identity.key) };
    const agent = new FakeAgent(new FakeHost(name, signer, fabric), identity);
    await agent.start();
    return agent;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async #awaitNews({ headers, raw, routeOptions }: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (!this.tellsNews || routeOptions.url !== agentApi.host.path) return;
    const revision = () => `r${JSON.stringify([...this.host.vms].map(([name, { state }]) => [name, state]))}`;
    const end = performance.now() + 1000 * Number(/^wait=(\d+)$/.exec(String(headers['prefer'] ?? ''))?.[1] ?? 0);
    while (headers['sealift-revision'] === revision() && performance.now() < end && !raw.socket.destroyed) await sleep(10);
    reply.header('sealift-revision', revision());
  }

  /** The same host answers again, at the same port. */
  async start(identity: Identity = this.#identity): Promise<void> {
    const server = fastify({
      https: { ...identity, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' },
      forceCloseConnections: true,
      exposeHeadRoutes: false,
      ajv: { customOptions: ajvOptions },
    }) as unknown as FastifyInstance; // of an HTTPS server; nothing here depends on which
    server.addHook('onSend', async ({ raw, routeOptions }) => {
      const name = Object.entries(agentApi).find(([, route]) => route.path === routeOptions.url && route.method === raw.method)?.[0];
      if ([...this.lostAnswers].some((lost) => lost === name)) raw.socket.destroy();
    });
    server.addHook('preHandler', (request, reply) => this.#awaitNews(request, reply));
    await serveApi(server, agentApi, this.host.handlers(), requireClient);
    await server.listen({ host: '127.0.0.1', port: this.#port });
    const address = server.server.address();
    if (typeof address === 'object' && address) this.#port = address.port;
    this.#server = server;
  }

  /** The host stays as it is and is not reachable. */
  async stop(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }
}

/** The manager; for settling, every agent of its authority. */
function requireClient({ raw: { socket }, routeOptions }: FastifyRequest): void {
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  if (routeOptions.url === agentApi.settleAttempt.path && certificate?.subjectAltName?.endsWith('.agent.sealift')) return;
  if (certificate?.checkHost('manager.sealift') === undefined) throw new SealiftError('not_authorised', 'this is not the manager');
}
