/**
 * Statements: what a host says of an attempt, signed with its agent's certificate key, so that settling needs no key of the migration and
 * anyone may carry them. docs/handover.md "statements" is the normative text of what is signed.
 */
import { sign, verify, X509Certificate } from 'node:crypto';
import { type Peer, SealiftError, type Statement, type Verdict } from '@sealift/contract';
import { agentName, type Certificates, keyHashOf, names } from '../certificates.ts';

/** Which attempt of which VM it is about. */
export interface Subject {
  readonly migration: string;
  readonly attempt: number;
  readonly vm: string;
}

/** @param challenge of the asker, 16 bytes in base64url */
export function makeStatement(
  subject: Subject,
  verdict: Verdict,
  challenge: string,
  host: string,
  { certificate, privateKey }: Pick<Certificates, 'certificate' | 'privateKey'>,
): Statement {
  const { migration, attempt, vm } = subject;
  const said = { migration, attempt, vm, host, verdict, challenge };
  const signature = sign(digestFor(certificate), signedBytes(said), privateKey);
  return { ...said, certificate: certificate.raw.toString('base64url'), signature: signature.toString('base64url') };
}

/**
 * @param peer the other host, as the spec of the attempt named it
 * @param authority whose certificates are believed
 * @throws SealiftError `not_authorised`, saying what is wrong, unless the peer itself said this about this attempt
 */
export function checkStatement(statement: Statement, subject: Subject, peer: Peer, authority: X509Certificate, now = Date.now()): void {
  const refuse = (what: string): never => {
    throw new SealiftError('not_authorised', `a statement about the migration of ${subject.vm} was refused: ${what}`);
  };
  const { migration, attempt, vm, host } = statement;
  if (migration !== subject.migration || attempt !== subject.attempt || vm !== subject.vm) refuse('it is about another one');
  if (host !== peer.name) refuse(`it is ${host}'s, and the other host is ${peer.name}`);
  const certificate = parse(statement.certificate) ?? refuse('its certificate cannot be read');
  if (keyHashOf(certificate) !== peer.keyHash) refuse(`it was not made with the key that ${peer.name} had when the migration was ordered`);
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) {
    refuse('its certificate is not of the authority that this agent believes (--ca)');
  }
  if (!names(certificate, agentName(host))) refuse(`its certificate is not that of ${host}'s agent`);
  // By now it is the key that the spec named; a certificate that has expired since then still tells whose key it is.
  if (now < certificate.validFromDate.getTime()) refuse('its certificate is not valid yet');
  const signature = Buffer.from(statement.signature, 'base64url');
  if (!verify(digestFor(certificate), signedBytes(statement), certificate.publicKey, signature)) refuse('its signature is wrong');
}

/** Each field with its length before it, u32 big-endian: no two statements have the same bytes. */
function signedBytes({ migration, attempt, vm, host, verdict, challenge }: Omit<Statement, 'certificate' | 'signature'>): Buffer {
  const fields = [
    Buffer.from('sealift/1 statement', 'latin1'),
    Buffer.from(migration.replaceAll('-', ''), 'hex'),
    u32(attempt),
    Buffer.from(vm, 'latin1'),
    Buffer.from(host, 'latin1'),
    Buffer.from(verdict, 'latin1'),
    Buffer.from(challenge, 'base64url'),
  ];
  return Buffer.concat(fields.flatMap((field) => [u32(field.length), field]));
}

/** Ed25519 and Ed448 (RFC 8032) hash by themselves; ECDSA (DER, RFC 3279) and RSA (PKCS #1 v1.5, RFC 8017) sign SHA-256. */
const digestFor = ({ publicKey }: X509Certificate): 'sha256' | null =>
  publicKey.asymmetricKeyType === 'ed25519' || publicKey.asymmetricKeyType === 'ed448' ? null : 'sha256';

function parse(text: string): X509Certificate | undefined {
  try {
    return new X509Certificate(Buffer.from(text, 'base64url'));
  } catch {
    return undefined;
  }
}

const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
};
