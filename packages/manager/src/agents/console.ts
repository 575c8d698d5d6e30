/** Opens a VM's console at its agent: a WebSocket of raw bytes, handed on as a stream. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, TLSSocket } from 'node:tls';
import { agentApi, errorOf, pathOf, SealiftError } from '@sealift/contract';
import { createWebSocketStream, WebSocket } from 'ws';
import type { Pin } from './identity.ts';

const handshakeTimeout = 10_000;
/** No refusal of ours is longer. */
const maxRefusalBytes = 65_536;

/** @throws SealiftError the agent's refusal; any other error where it does not answer or is not the one it should be */
export function openConsole(endpoint: string, tls: ConnectionOptions, pin: Pin, vm: string): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const socket = new WebSocket(`wss://${endpoint}${pathOf(agentApi.consoleOfVm, { vm })}`, {
    ...tls,
    handshakeTimeout,
    perMessageDeflate: false,
  });
  socket.on('upgrade', (response) => {
    try {
      if (!(response.socket instanceof TLSSocket)) throw new Error('it does not speak TLS');
      pin.check(response.socket);
    } catch (error) {
      reject(error);
      socket.terminate();
    }
  });
  socket.on('unexpected-response', (request, response) => {
    readRefusal(response)
      .then(reject, reject)
      .finally(() => request.destroy());
  });
  // Stays, so that an error after the first one has a listener as well.
  socket.on('error', reject);
  socket.once('open', () => resolve(createWebSocketStream(socket)));
  return promise;
}

async function readRefusal(response: IncomingMessage): Promise<SealiftError> {
  let text = '';
  for await (const chunk of response) {
    text += chunk;
    if (text.length > maxRefusalBytes) break;
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // Not ours; its status is all that can be told of it.
  }
  return errorOf(body) ?? new SealiftError('internal', `the agent answered the console with HTTP ${response.statusCode}`);
}
