/** Statements as docs/handover.md defines them; here so that the agent's are held to a second reading of the same definition. */
import { type KeyObject, sign, verify, X509Certificate } from 'node:crypto';
import { type AttemptReport, SealiftError, type Statement, type Verdict } from '@sealift/contract';
import { keyHashOf } from '../agents/identity.ts';
import type { FakeAttempt } from './fake-attempt.ts';

export interface Signer {
  readonly keyHash: string;
  readonly certificate: X509Certificate;
  readonly privateKey: KeyObject;
}

export function makeStatement(
  { migration, attempt, vm }: Pick<AttemptReport, 'migration' | 'attempt' | 'vm'>,
  verdict: Verdict,
  challenge: string,
  host: string,
  { certificate, privateKey }: Signer,
): Statement {
  const said = { migration, attempt, vm, host, verdict, challenge };
  const signature = sign(hashFor(certificate), bytesOf(said), privateKey).toString('base64url');
  return { ...said, certificate: certificate.raw.toString('base64url'), signature };
}

/** @throws SealiftError not_authorised where it is not what the other host of the attempt said of it */
export function checkStatement(statement: Statement, { report, spec }: FakeAttempt): void {
  const peer = report.role === 'source' ? spec.destination : spec.source;
  const { migration, attempt, vm } = report;
  const same = statement.migration === migration && statement.attempt === attempt && statement.vm === vm && statement.host === peer.name;
  if (!same || !isSignedBy(statement, peer.keyHash))
    throw new SealiftError('not_authorised', `a statement was refused: not ${peer.name}'s`);
}

/** Whether it was made with the key of this hash. */
export function isSignedBy(statement: Statement, keyHash: string): boolean {
  try {
    const certificate = new X509Certificate(Buffer.from(statement.certificate, 'base64url'));
    const signature = Buffer.from(statement.signature, 'base64url');
    return keyHashOf(certificate) === keyHash && verify(hashFor(certificate), bytesOf(statement), certificate.publicKey, signature);
  } catch {
    return false; // what cannot be read is not a certificate
  }
}

const hashFor = ({ publicKey: { asymmetricKeyType: type } }: X509Certificate) => (type === 'ed25519' || type === 'ed448' ? null : 'sha256');

function bytesOf({ migration, attempt, vm, host, verdict, challenge }: Omit<Statement, 'certificate' | 'signature'>): Buffer {
  const fields = [
    Buffer.from('sealift/1 statement'),
    Buffer.from(migration.replaceAll('-', ''), 'hex'),
    u32(attempt),
    Buffer.from(vm),
    Buffer.from(host),
    Buffer.from(verdict),
    Buffer.from(challenge, 'base64url'),
  ];
  return Buffer.concat(fields.map((field) => Buffer.concat([u32(field.length), field])));
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
