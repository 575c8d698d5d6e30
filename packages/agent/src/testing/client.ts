/** Talks to an agent as the manager does: mutual TLS 1.3, the agent's name checked. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { Readable } from 'node:stream';
import { agentApi, createClient, type Fetch } from '@sealift/contract';
import { WebSocket } from 'ws';
import type { CertificateFiles } from './certificates.ts';

export const tlsOf = (files: CertificateFiles, host: string) => ({
  cert: readFileSync(files.cert),
  key: readFileSync(files.key),
  ca: readFileSync(files.ca),
  servername: `${host}.agent.sealift`,
  minVersion: 'TLSv1.3' as const,
});

export const connectAgent = (endpoint: string, host: string, files: CertificateFiles) => {
  const tls = tlsOf(files, host);
  const fetch: Fetch = async (url, init) => {
    const outgoing = request(url, {
      ...tls,
      agent: false,
      method: init.method,
      headers: init.headers,
      ...(init.signal && { signal: init.signal }),
    });
    outgoing.end(init.body);
    const [incoming] = await once(outgoing, 'response');
    return new Response(Readable.toWeb(incoming) as ReadableStream, { status: incoming.statusCode });
  };
  return createClient(agentApi, `https://${endpoint}`, fetch, 'agent_unreachable');
};

/** Resolves when the console is open. Rejects with the agent's answer where it refuses. */
export async function openConsole(endpoint: string, host: string, files: CertificateFiles, vm: string): Promise<WebSocket> {
  const socket = new WebSocket(`wss://${endpoint}/v1/vms/${vm}/console`, tlsOf(files, host));
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  socket.once('open', () => resolve(socket)).once('error', reject);
  socket.once('unexpected-response', async (_, response) =>
    reject(new Error(await new Response(Readable.toWeb(response) as ReadableStream).text())),
  );
  return promise;
}
