import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { hostDnsName, makeCertificates, managerDnsName } from './certificates.ts';

test('manager and agent accept each other over TLS 1.3, by name; files are private', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'certificates-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const identities = await makeCertificates(join(folder, 'pki'), [managerDnsName, hostDnsName('alpha')]);
  const load = async (name: string) => {
    const files = identities.get(name);
    assert.ok(files);
    for (const path of Object.values(files)) assert.equal((await stat(path)).mode & 0o777, 0o600);
    return { cert: await readFile(files.certificate), key: await readFile(files.key), ca: await readFile(files.ca) };
  };
  const server = createServer({
    ...(await load('alpha.agent.sealift')),
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: true,
  });
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // listening on TCP
  const names = once(server, 'secureConnection').then(([socket]) => socket.getPeerX509Certificate().subjectAltName);
  const client = connect({ ...(await load('manager.sealift')), port, servername: 'alpha.agent.sealift' });
  t.after(() => client.destroy());
  await once(client, 'secureConnect');
  assert.equal(client.authorized, true);
  assert.equal(await names, 'DNS:manager.sealift');

  const mistaken = connect({ ...(await load('manager.sealift')), port, servername: 'bravo.agent.sealift' });
  const [error] = await once(mistaken, 'error');
  assert.equal(error.code, 'ERR_TLS_CERT_ALTNAME_INVALID');
});
