/** Why an agent does not answer, in words that say what to look at. The one place that reads error codes of Node, OpenSSL and undici. */
import { SealiftError } from '@sealift/contract';
import { HostKeyChanged } from './identity.ts';

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there; is the agent running?',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to it',
  ETIMEDOUT: 'the connection timed out',
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
  UND_ERR_HEADERS_TIMEOUT: 'it took the request and did not answer in time',
  UND_ERR_BODY_TIMEOUT: 'it stopped in the middle of its answer',
  UND_ERR_SOCKET: 'it closed the connection before it had answered',
  ECONNRESET: 'it closed the connection before it had answered',
  ENOTFOUND: 'its name has no address',
  EAI_AGAIN: 'its name could not be looked up',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet; compare the clocks',
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is not from this manager's CA",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is not from this manager's CA",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is not from this manager's CA",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is not from this manager's CA",
  CERT_SIGNATURE_FAILURE: "its certificate is not from this manager's CA",
  EPROTO: 'what listens there does not speak TLS 1.3',
};

/** An error with the errors that caused it, the innermost last. */
function chainOf(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let each = error; each instanceof Error && chain.length < 8; each = each.cause) chain.push(each);
  return chain;
}

/** @returns `agent_unreachable`, or `not_authorised` where the host answers with a key that is not its own */
export function unreachable(host: string, endpoint: string, error: unknown): SealiftError {
  const chain = chainOf(error);
  const changed = chain.find((each) => each instanceof HostKeyChanged);
  if (changed) {
    const advice = 'If its agent was set up anew, remove the host and add it again; else somebody stands in for it';
    return new SealiftError('not_authorised', `host ${host} (${endpoint}) is refused: ${changed.message}. ${advice}`, { cause: error });
  }
  return new SealiftError('agent_unreachable', `host ${host} (${endpoint}) does not answer: ${reasonOf(chain)}`, { cause: error });
}

function reasonOf(chain: readonly Error[]): string {
  for (const error of chain) {
    const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
    const known = words[code];
    if (known) return known;
    if (code.startsWith('ERR_SSL_') && /alert|certificate/i.test(error.message)) return "it refused this manager's certificate";
    if (error.name === 'TimeoutError') return 'it did not answer in time';
  }
  return chain.at(-1)?.message ?? 'for a reason unknown';
}
