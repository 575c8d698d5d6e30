/** Who the manager is to its agents, and who they must be to it: mutual TLS 1.3 under one CA, and each host's key pinned. */
import { hash, type X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';

/** PEM texts. */
export interface Identity {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const contexts = new WeakMap<Identity, SecureContext>();

/** Read and parsed once for all connections: each would otherwise hold, and take the time for, a copy of its own. */
function contextOf(identity: Identity): SecureContext {
  let context = contexts.get(identity);
  if (!context) {
    context = createSecureContext({ ...identity, minVersion: 'TLSv1.3' });
    contexts.set(identity, context);
  }
  return context;
}

/** What to connect to a host's agent with: its certificate must come from our CA and name the host. */
export const tlsFor = (identity: Identity, host: string) => ({
  secureContext: contextOf(identity),
  servername: `${host}.agent.sealift`,
  minVersion: 'TLSv1.3' as const,
});

/** SHA-256 of the certificate's SubjectPublicKeyInfo, hexadecimal. */
export const keyHashOf = (certificate: X509Certificate): string =>
  hash('sha256', certificate.publicKey.export({ type: 'spki', format: 'der' }), 'hex');

/** A host that proves itself with our CA, but with another key than the one it was added with. */
export class HostKeyChanged extends Error {
  constructor(expected: string, found: string) {
    super(`its key is not the one it was added with: SHA-256 ${found} in place of ${expected}`);
    this.name = 'HostKeyChanged';
  }
}

/** The key of a host, known from the first connection on or from the store; every later connection must show the same. */
export class Pin {
  #keyHash: string | undefined;
  /** SHA-256 of a certificate that was seen to have that key: most connections show it again. */
  #checked: string | undefined;

  constructor(keyHash?: string) {
    this.#keyHash = keyHash;
  }

  get keyHash(): string | undefined {
    return this.#keyHash;
  }

  /** @throws HostKeyChanged */
  check(socket: TLSSocket): void {
    const certificate = socket.getPeerX509Certificate();
    if (!certificate) throw new Error('it showed no certificate');
    const { fingerprint256 } = certificate;
    if (fingerprint256 === this.#checked) return;
    const found = keyHashOf(certificate);
    this.#keyHash ??= found;
    if (found !== this.#keyHash) throw new HostKeyChanged(this.#keyHash, found);
    this.#checked = fingerprint256;
  }
}
