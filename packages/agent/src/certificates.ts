/** Who this host is: its certificate and key, and the authority whose certificates it believes. */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CannotStart, reasonOf } from './cannot-start.ts';

export const managerName = 'manager.sealift';
export const agentName = (host: string): string => `${host}.agent.sealift`;

export interface Certificates {
  readonly certificate: X509Certificate;
  /** Signs statements about attempts; the same key as TLS has. */
  readonly privateKey: KeyObject;
  /** As the API writes it: SHA-256 of the certificate's SubjectPublicKeyInfo, hexadecimal. */
  readonly keyHash: string;
  readonly pem: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer };
}

/** SHA-256 of the SubjectPublicKeyInfo, RFC 5280 §4.1.2.7, lower-case hexadecimal. */
export const keyHashOf = (certificate: X509Certificate): string =>
  createHash('sha256')
    .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');

/** Does the certificate carry exactly this dNSName? Neither wildcards nor common names count. */
export const names = (certificate: X509Certificate, name: string): boolean =>
  certificate.checkHost(name, { subject: 'never', wildcards: false }) !== undefined;

/** Is it the certificate of some host's agent? */
export const isAgents = (certificate: X509Certificate): boolean =>
  /(^|, )DNS:[a-z0-9-]+\.agent\.sealift($|,)/.test(certificate.subjectAltName ?? '');

/**
 * Reads the three PEM files and checks that they belong together and to this host.
 * @throws CannotStart naming the file and what is wrong with it
 */
export function readCertificates(host: string, files: { cert: string; key: string; ca: string }, now = Date.now()): Certificates {
  const pem = { cert: read('--cert', files.cert), key: read('--key', files.key), ca: read('--ca', files.ca) };
  const certificate = parse('--cert', files.cert, 'a certificate', () => new X509Certificate(pem.cert));
  const privateKey = parse('--key', files.key, 'a private key without passphrase', () => createPrivateKey(pem.key));
  const authority = parse('--ca', files.ca, 'a certificate', () => new X509Certificate(pem.ca));

  if (!certificate.checkPrivateKey(privateKey)) throw new CannotStart(`--key ${files.key} is not the key of the certificate ${files.cert}`);
  if (!names(certificate, agentName(host))) {
    throw new CannotStart(
      `the certificate ${files.cert} is not host ${host}'s: it must carry the DNS name ${agentName(host)} and carries ${certificate.subjectAltName ?? 'none'}`,
    );
  }
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) {
    throw new CannotStart(`the certificate ${files.cert} was not issued by the authority in ${files.ca}`);
  }
  for (const [file, { validFromDate, validToDate }] of [[files.cert, certificate] as const, [files.ca, authority] as const]) {
    if (now < validFromDate.getTime() || now > validToDate.getTime()) {
      throw new CannotStart(
        `the certificate ${file} is valid from ${validFromDate.toISOString()} to ${validToDate.toISOString()}, and it is ${new Date(now).toISOString()} here`,
      );
    }
  }
  return { certificate, privateKey, keyHash: keyHashOf(certificate), pem };
}

const read = (option: string, file: string): Buffer => {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new CannotStart(`${option} ${file} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
};

const parse = <T>(option: string, file: string, what: string, act: () => T): T => {
  try {
    return act();
  } catch (error) {
    throw new CannotStart(`${option} ${file} does not hold ${what} in PEM`, { cause: error });
  }
};
