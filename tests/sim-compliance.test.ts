/** The simulated agents that the manager is measured with are held to what every agent is held to, as far as they go. */
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import type { AttemptReport, IncomingRequest } from '@sealift/contract';
import { hostDnsName, makeCertificates, managerDnsName } from '../lab/src/certificates.ts';
import { SimHost, type SimSite } from '../lab/src/sim/host.ts';
import { type Served, serve } from '../lab/src/sim/server.ts';
import { AgentLink } from '../packages/manager/src/agents/link.ts';
import { agentCompliance, complying, definitionOf, migrationOf } from '../packages/manager/src/testing/index.ts';

const definition = (name: string) => definitionOf(name);

/** Hosts without VMs, at one port. @param copyMs how long a migration copies, on average */
async function open(copyMs: number, ...names: string[]) {
  const directory = mkdtempSync(join(tmpdir(), 'sealift-sim-'));
  const identities = await makeCertificates(directory, [managerDnsName, ...names.map(hostDnsName)]);
  const filesOf = (dnsName: string) => identities.get(dnsName) ?? assert.fail(`there is no certificate for ${dnsName}`);
  const text = (path: string) => readFileSync(path, 'utf8');
  const site: SimSite = { hosts: new Map(), copying: new Set(), copyMs, failing: 0, random: () => 0.5, tell: () => undefined };
  const served = new Map<string, Served>();
  for (const name of names) {
    const identity = filesOf(hostDnsName(name));
    const spki = new X509Certificate(text(identity.certificate)).publicKey.export({ type: 'spki', format: 'der' });
    const keyHash = createHash('sha256').update(spki).digest('hex');
    served.set(hostDnsName(name), { host: new SimHost(name, keyHash, [], site), identity });
  }
  const { server, port } = await serve(served);
  const { certificate, key, ca } = filesOf(managerDnsName);
  const identity = { cert: text(certificate), key: text(key), ca: text(ca) };
  const links = names.map((name) => new AgentLink(name, `127.0.0.1:${port}`, identity));
  return {
    clients: links.map(({ client }) => client),
    close: async () => {
      await Promise.all(links.map((link) => link.close()));
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true });
    },
  };
}

agentCompliance('simulated', async () => {
  const { clients, close } = await open(60_000, 'alpha');
  const [client] = clients;
  assert.ok(client);
  return { client, definition, close };
}, ['pools', 'keys', 'settlement']);

async function told(reports: AsyncIterable<AttemptReport>): Promise<string[]> {
  const phases = new Set<string>();
  for await (const { phase } of reports) phases.add(phase);
  return [...phases];
}

it('moves a VM from one simulated agent to another, and tells of it in the words of the contract', async () => {
  const { clients, close } = await open(20, 'alpha', 'bravo');
  try {
    const [alpha, bravo] = clients.map(complying);
    assert.ok(alpha && bravo);
    const params = { vm: 'web' };
    await alpha.defineVm({ body: definition('web') });
    await alpha.startVm({ params });
    const identityOf = async ({ host }: typeof alpha) => {
      const { name, keyHash } = await host();
      return { name, keyHash };
    };
    const spec = { ...migrationOf('web').spec, source: await identityOf(alpha), destination: await identityOf(bravo) };
    const attempt = { params: { migration: spec.migration } };
    const key: IncomingRequest['key'] = { ephemeral: '', sealed: '' };
    const { endpoints } = await bravo.incoming({ body: { spec, key, vm: definition('web'), peer: '192.0.2.1:8652' } });
    assert.equal((await bravo.getVm({ params })).state, 'moving-in');
    const arriving = bravo.watchAttempt(attempt);
    assert.equal((await arriving.next()).value?.phase, 'preparing');
    await alpha.outgoing({ body: { spec, key, vm: 'web', endpoints, peer: '192.0.2.2:8652' } });

    const source = await told(alpha.watchAttempt(attempt));
    const both = ['connecting', 'copying', 'switching-over', 'granted'];
    assert.deepEqual(await told(arriving), [...both, 'completed']);
    assert.deepEqual(
      source,
      ['preparing', ...both, 'releasing', 'completed'].slice(-source.length),
      'from the phase on in which it was asked',
    );
    assert.ok((await alpha.getAttempt(attempt)).result?.switchOverMs);
    await assert.rejects(alpha.getVm({ params }), /has no VM web/);
    assert.deepEqual(
      (await bravo.host()).vms.map((vm) => [vm.definition.name, vm.state, vm.migration]),
      [['web', 'running', undefined]],
    );
  } finally {
    await close();
  }
});
