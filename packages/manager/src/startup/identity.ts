/** Reads the manager's certificate, key and CA, and refuses what could not work later. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Identity } from '../agents/identity.ts';
import { reasonOf, StartupError } from './error.ts';

/** The name that agents ask of the manager's certificate. */
const managerName = 'manager.sealift';

export interface IdentityFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** @throws StartupError naming the option and the file */
export function readIdentity(files: IdentityFiles, now: Date = new Date()): Identity {
  const identity: Identity = { cert: read('--cert', files.cert), key: read('--key', files.key), ca: read('--ca', files.ca) };
  parse('--ca', files.ca, identity.ca);
  const certificate = parse('--cert', files.cert, identity.cert);
  const of = `the certificate ${files.cert} (--cert)`;
  if (certificate.checkHost(managerName) === undefined) throw new StartupError(`${of} is not for ${managerName}; agents would refuse it`);
  if (certificate.validToDate < now) throw new StartupError(`${of} expired on ${certificate.validToDate.toISOString()}`);
  if (certificate.validFromDate > now) {
    throw new StartupError(`${of} is valid only from ${certificate.validFromDate.toISOString()} on; compare the clocks`);
  }
  try {
    createSecureContext({ ...identity, minVersion: 'TLSv1.3' });
  } catch (error) {
    throw new StartupError(`the key ${files.key} (--key) does not go with the certificate ${files.cert}: ${reasonOf(error)}`);
  }
  return identity;
}

function read(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new StartupError(`${option} ${file} cannot be read: ${reasonOf(error)}`);
  }
}

function parse(option: string, file: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new StartupError(`${option} ${file} is not a certificate in PEM: ${reasonOf(error)}`);
  }
}
