/**
 * Simulated agents as a process, for measurements of the manager. Started with an IPC channel by whoever measures: it takes its orders as one JSON
 * argument, says `ready` with the port and the hosts' keys, and then what happens and when.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostDnsName } from '../certificates.ts';
import { type Moment, SimHost, type SimSite } from './host.ts';
import { numbers, planSite, type SimSize } from './plan.ts';
import { type Served, serve } from './server.ts';

export interface SimOrders extends SimSize {
  /** Where {@link ../certificates.ts} put the certificates. */
  readonly certificates: string;
  /** How long memory is copied for on average, ms. */
  readonly copyMs: number;
  /** Of migrations, 0 to 1. */
  readonly failing: number;
  /** Between two accounts of how far a migration has come, ms. */
  readonly progressMs: number;
  /** VMs that change their state by themselves, a second. */
  readonly changesPerSecond: number;
}

export type SimMessage =
  | { readonly type: 'ready'; readonly port: number; readonly keyHashes: readonly (readonly [host: string, keyHash: string])[] }
  | { readonly type: 'moments'; readonly moments: readonly Moment[] };

const tellMs = 100;
/** Progress is spread over so many parts of its interval. */
const parts = 10;

const orders = JSON.parse(process.argv[2] ?? '') as SimOrders; // of whoever started this
const say = (message: SimMessage): void => void process.send?.(message);
let moments: Moment[] = [];
const site: SimSite = {
  hosts: new Map(),
  copying: new Set(),
  copyMs: orders.copyMs,
  failing: orders.failing,
  random: numbers(2),
  tell: (moment) => void moments.push(moment),
};

const plan = planSite(orders);
const served = new Map<string, Served>();
for (const { name, vms } of plan) {
  const dnsName = hostDnsName(name);
  const file = (ending: string) => join(orders.certificates, `${dnsName}.${ending}`);
  const identity = { certificate: file('crt'), key: file('key'), ca: join(orders.certificates, 'ca.crt') };
  const { publicKey } = new X509Certificate(readFileSync(identity.certificate));
  const keyHash = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
  served.set(dnsName, { host: new SimHost(name, keyHash, vms, site), identity });
}
const { server, port } = await serve(served);

setInterval(() => {
  if (moments.length > 0) say({ type: 'moments', moments });
  moments = [];
}, tellMs);

let part = 0;
setInterval(() => {
  part = (part + 1) % parts;
  let index = 0;
  for (const attempt of site.copying) if (index++ % parts === part) attempt.advance();
}, orders.progressMs / parts);

/** Each is put back as it was by the next round, so that the site stays what it is. */
const restless = plan.flatMap(({ name, cluster, vms }) =>
  cluster === 'cluster-00' ? [] : vms.slice(0, 1).map((vm) => ({ host: name, vm: vm.name })),
);
let turn = 0;
if (orders.changesPerSecond > 0 && restless.length > 0) {
  setInterval(() => {
    const next = restless[turn++ % restless.length];
    if (next) site.hosts.get(next.host)?.happens(next.vm);
  }, 1000 / orders.changesPerSecond);
}

process.on('disconnect', () => process.exit(0));
process.once('SIGTERM', () => {
  server.closeAllConnections();
  process.exit(0);
});
say({ type: 'ready', port, keyHashes: [...site.hosts.values()].map(({ name, keyHash }) => [name, keyHash]) });
