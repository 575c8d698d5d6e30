/** `npm run bench -- peers`: one QEMU's RAM to another's, by sealift and by every other way to do it. */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Figures } from '../measure/figures.ts';
import { endAllOnSignals, temporaryDirectory } from '../measure/processes.ts';
import { runSuite, type Variant } from '../measure/suite.ts';
import { makeCertificates, makeSshKeys } from './credentials.ts';
import { Guest, type Tls, writeRandom } from './guest.ts';
import { sealift, ssh, stunnel, type Way } from './ways.ts';

interface Plan {
  readonly name: string;
  /** Of multifd; 0 is without. */
  readonly channels: number;
  readonly tls?: true;
  /** What stands between; without, QEMU speaks TCP to QEMU. */
  readonly way?: Way;
}

const sealed = ['sealift sealed, multifd 2', 'sealift sealed, multifd 4'];
const clear = ['sealift clear, multifd 2', 'sealift clear, multifd 4'];
const tls = ['QEMU TLS, multifd 2', 'QEMU TLS, multifd 4'];
const plans: readonly Plan[] = [
  { name: 'QEMU plain, single', channels: 0 },
  { name: 'QEMU plain, multifd 2', channels: 2 },
  ...[2, 4].map((channels) => ({ name: `sealift clear, multifd ${channels}`, channels, way: sealift('none') })),
  ...[2, 4].map((channels) => ({ name: `sealift sealed, multifd ${channels}`, channels, way: sealift('aes-256-gcm') })),
  ...[2, 4].map((channels) => ({ name: `QEMU TLS, multifd ${channels}`, channels, tls: true as const })),
  { name: 'stunnel, multifd 2', channels: 2, way: stunnel },
  { name: 'ssh, single', channels: 0, way: ssh },
  { name: 'ssh, multifd 2', channels: 2, way: ssh },
];

interface Site {
  readonly directory: string;
  readonly random: string;
  readonly mebibytes: number;
}

async function measure({ channels, tls: secured, way }: Plan, { directory: site, random, mebibytes }: Site): Promise<Figures> {
  using temporary = temporaryDirectory();
  const directory = temporary.path;
  await using stack = new AsyncDisposableStack();
  const certificates = path.join(site, 'certificates');
  const credentials: Tls | undefined = secured && { directory: certificates, hostname: 'localhost' };
  const plan = { directory, mebibytes, tls: credentials };
  const [source, destination] = await Promise.all([
    Guest.start('source', { ...plan, memory: random }, stack),
    Guest.start('destination', { ...plan, memory: path.join(directory, 'ram') }, stack),
  ]);
  for (const guest of [source, destination]) await guest.prepare(channels, credentials);
  const to = path.join(directory, 'in.sock');
  const port = await destination.listen(way ? `unix:${to}` : 'tcp:127.0.0.1:0');
  const between = way && (await way({ directory, certificates, ssh: path.join(site, 'ssh'), channels, to }, stack));
  const processes = [source.process, destination.process, ...(between?.processes ?? [])];
  const before = processes.map(({ cpuSeconds }) => cpuSeconds);
  const completed = Promise.all([source.completed(), destination.completed()]);
  const begun = performance.now();
  await Promise.all([source.migrate(between ? `unix:${between.out}` : `tcp:127.0.0.1:${port}`), completed]);
  const wall = (performance.now() - begun) / 1000;
  // What is left of it: connections that are closed, threads that end.
  await delay(100);
  const bytes = mebibytes * 1_048_576;
  const costs = processes.map(({ name, cpuSeconds }, index) => [name, (cpuSeconds - (before[index] ?? 0)) / (bytes / 1e9)] as const);
  const sent = await source.sentBytes();
  if (sent < bytes) throw new Error(`the source sent ${sent} bytes of ${bytes}: its RAM was not the random data`);
  return {
    'wall s': wall,
    'GB/s': bytes / 1e9 / wall,
    'CPU s/GB': costs.reduce((sum, [, cost]) => sum + cost, 0),
    ...Object.fromEntries(costs.map(([name, cost]) => [`CPU s/GB ${ends[name] ?? name}`, cost])),
  };
}

/** Which end a process in between is at: one column for all of them. */
const ends: Readonly<Record<string, string>> = {
  'tunnel send': 'source proxy',
  'stunnel client': 'source proxy',
  ssh: 'source proxy',
  'tunnel receive': 'destination proxy',
  'stunnel server': 'destination proxy',
  sshd: 'destination proxy',
};
const perProcess = ['qemu source', 'source proxy', 'destination proxy', 'qemu destination'].map((name) => `CPU s/GB ${name}`);

export const run = (args: string[]): Promise<number> => {
  endAllOnSignals();
  return runSuite(
    {
      name: 'peers',
      words: `The RAM of a paused guest, random bytes, from one QEMU to another over loopback: by QEMU itself in the clear and by TLS, through stunnel,
through ssh, and through \`sealift tunnel\`, clear and sealed. All that encrypts does so by AES-256-GCM, TLS of version 1.3. All RAM is allocated
before the clock starts. It runs from \`migrate\` until both QEMUs say completed. CPU time is that of every process of the migration.
Needs stunnel4 and openssh-server: \`bash tools/setup --bench\` installs them.`,
      mebibytes: 2048,
      quick: { rounds: 2, mebibytes: 1024 },
      programs: {
        qemu: ['qemu-system-x86_64', '--version'],
        stunnel: ['stunnel4', '-version'],
        ssh: ['ssh', '-V'],
        openssl: ['openssl', 'version'],
      },
      figures: ['wall s', 'GB/s', 'CPU s/GB', ...perProcess],
      charted: 'CPU s/GB',
      comparisons: [tls, ['stunnel, multifd 2'], ['ssh, single', 'ssh, multifd 2'], clear, ['QEMU plain, multifd 2']].flatMap((to) =>
        ['wall s', 'CPU s/GB'].map((figure) => ({ variant: sealed, to, figure })),
      ),
      within: async ({ mebibytes }, use) => {
        using directory = temporaryDirectory();
        const site = { directory: directory.path, random: path.join(directory.path, 'random'), mebibytes };
        writeRandom(site.random, mebibytes);
        makeCertificates(path.join(site.directory, 'certificates'));
        makeSshKeys(path.join(site.directory, 'ssh'));
        await use(plans.map((plan): Variant => ({ name: plan.name, measure: () => measure(plan, site) })));
      },
    },
    args,
  );
};
