/** Asks the other host's agent what it says of an attempt: one question over mutual TLS 1.3, held to the key that the spec named. */

import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { agentApi, errorOf, type Peer, pathOf, SealiftError, SettleAnswer, type SettleRequest } from '@sealift/contract';
import { Check } from 'typebox/value';
import { agentName, type Certificates, keyHashOf } from '../certificates.ts';

const answerMs = 5_000;
/** A statement with its certificate has about 2 KiB. */
const answerBytes = 64 * 1024;

/** @throws SealiftError what the other agent answered; `agent_unreachable` where there is no answer, or not of that host */
export async function askPeer(
  peer: Peer,
  certificates: Certificates,
  migration: string,
  question: SettleRequest,
  signal: AbortSignal,
): Promise<SettleAnswer> {
  const { status, text } = await post(peer, certificates, migration, JSON.stringify(question), signal);
  const body = parse(text);
  if (status === agentApi.settleAttempt.status && Check(SettleAnswer, body)) return body;
  throw errorOf(body) ?? unreachable(peer, `it answered with HTTP ${status}`);
}

function post(
  peer: Peer,
  { pem }: Certificates,
  migration: string,
  body: string,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const route = agentApi.settleAttempt;
  const url = new URL(pathOf(route, { migration }), `https://${peer.endpoint}`);
  const asked = request(url, {
    method: route.method,
    ...pem,
    agent: false,
    minVersion: 'TLSv1.3',
    servername: agentName(peer.name),
    checkServerIdentity: (name, certificate) => checkServerIdentity(name, certificate) ?? checkKey(peer, certificate),
    headers: { 'content-type': 'application/json', accept: 'application/json', 'content-length': Buffer.byteLength(body) },
    signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
  });
  asked.once('error', (error) => reject(unreachable(peer, error.message, error)));
  asked.once('response', (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > answerBytes) asked.destroy(new Error('its answer is too long'));
    });
    response.once('error', (error) => reject(unreachable(peer, error.message, error)));
    response.once('end', () => resolve({ status: response.statusCode ?? 0, text }));
  });
  asked.end(body);
  return promise;
}

/** The authority's word that it is the host is not enough: it has to be the key that took part in the attempt. */
function checkKey(peer: Peer, { raw }: PeerCertificate): Error | undefined {
  if (keyHashOf(new X509Certificate(raw)) === peer.keyHash) return undefined;
  return new Error(`the agent that answers there has another key than ${peer.name} had when the migration was ordered`);
}

const unreachable = (peer: Peer, why: string, cause?: unknown): SealiftError =>
  new SealiftError('agent_unreachable', `the agent of ${peer.name} does not answer at ${peer.endpoint}: ${why}`, { cause });

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
