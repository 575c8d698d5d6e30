/** Certificates and keys for the peers, fresh for each run. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const run = (directory: string, program: string, ...args: string[]): void => {
  execFileSync(program, args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
};

/** ECDSA P-256, as a user would take today. One CA, one certificate of each end, by the names that QEMU's tls-creds-x509 looks for. */
export function makeCertificates(directory: string): void {
  mkdirSync(directory, { mode: 0o700 });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const extension = (...lines: string[]) => lines.flatMap((line) => ['-addext', line]);
  run(
    directory,
    'openssl',
    ...['req', '-x509', ...key, '-keyout', 'ca-key.pem', '-out', 'ca-cert.pem', '-days', '2', '-subj', '/CN=bench'],
    ...extension('keyUsage=critical,keyCertSign,cRLSign'),
  );
  for (const [end, usage] of [
    ['server', 'serverAuth'],
    ['client', 'clientAuth'],
  ]) {
    run(directory, 'openssl', 'req', ...key, '-keyout', `${end}-key.pem`, '-out', `${end}.csr`, '-subj', `/CN=${end}`);
    writeFileSync(
      path.join(directory, `${end}.ext`),
      `basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=${usage}\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n`,
    );
    run(
      directory,
      'openssl',
      ...['x509', '-req', '-in', `${end}.csr`, '-CA', 'ca-cert.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial'],
      ...['-out', `${end}-cert.pem`, '-days', '2', '-extfile', `${end}.ext`],
    );
  }
}

/** A host key, and a user's key that is let in. */
export function makeSshKeys(directory: string): void {
  mkdirSync(directory, { mode: 0o700 });
  for (const name of ['host', 'user']) run(directory, 'ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', name);
  const allowed = path.join(directory, 'authorized_keys');
  copyFileSync(path.join(directory, 'user.pub'), allowed);
  chmodSync(allowed, 0o600);
}
