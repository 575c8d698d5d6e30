/**
 * The lab's certificates: one CA, one certificate for the manager and one per host, good for the lab's life. A host's name is
 * `NAME.agent.sealift` and the manager's `manager.sealift`, as dNSName, which is what both sides verify.
 */
import 'reflect-metadata'; // before @peculiar/x509, which resolves its parts by it
import { webcrypto } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

/** Files in PEM, readable by their owner only. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 86_400_000;

export const managerDnsName = 'manager.sealift';
export const hostDnsName = (host: string): string => `${host}.agent.sealift`;

/** Makes a CA and signs an identity for each name. Its key is not kept: it signs nothing after this. */
export const makeCertificates = async (folder: string, dnsNames: readonly string[]): Promise<ReadonlyMap<string, Identity>> => {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const period = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 30 * day) };
  const caKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=sealift lab',
    keys: caKeys,
    signingAlgorithm: algorithm,
    ...period,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  const caFile = join(folder, 'ca.crt');
  await writePrivately(caFile, ca.toString('pem'));

  const identities = new Map<string, Identity>();
  for (const dnsName of dnsNames) {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${dnsName}`,
      issuer: ca.subject,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: algorithm,
      ...period,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        // Either end may be the client: agents and the manager both dial and are dialled.
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: dnsName }]),
        await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    const files = { certificate: join(folder, `${dnsName}.crt`), key: join(folder, `${dnsName}.key`), ca: caFile };
    await writePrivately(files.certificate, certificate.toString('pem'));
    const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    await writePrivately(files.key, x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'));
    identities.set(dnsName, files);
  }
  return identities;
};

const writePrivately = (path: string, text: string): Promise<void> =>
  writeFile(path, text.endsWith('\n') ? text : `${text}\n`, { mode: 0o600 });
