import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Check, CheckName, HostReport, MigrationOrder } from '@sealift/contract';
import { planMigration } from '../index.ts';
import { ruleOf, type SiteHost, type SiteOf, type SiteVm, snapshotOf } from '../testing/sites.ts';
import { isOlder } from './qemu.ts';

const qemu: HostReport['qemu'] = { version: '7.2.22', machines: ['pc-q35-7.2'], accel: 'kvm', capabilities: ['multifd'] };
const nic = (bridge: string) => ({ bridge, mac: '52:54:00:00:00:01' });
const poolDisk = (shared: boolean) => ({ pool: 'fast', name: 'data', sizeMiB: 64, format: 'qcow2' as const, shared });
const disk = (shared: boolean) => ({ path: '/srv/redis.qcow2', format: 'qcow2' as const, shared });
const moving = (vm: string, from: string, to: string) => ({ id: `of-${vm}`, vm, from, to, phase: 'copying' as const });

interface Case {
  readonly check: CheckName;
  readonly verdict: Check['verdict'];
  readonly says: RegExp;
  readonly vm?: Omit<SiteVm, 'name' | 'host'>;
  readonly alpha?: Omit<SiteHost, 'name'>;
  readonly bravo?: Omit<SiteHost, 'name'>;
  readonly site?: Partial<SiteOf>;
  readonly more?: readonly SiteVm[];
  readonly order?: MigrationOrder;
}

const cases: readonly Case[] = [
  { check: 'vm-state', verdict: 'pass', says: /redis is running on host alpha/ },
  { check: 'vm-state', verdict: 'pass', says: /is paused/, vm: { state: 'paused' } },
  { check: 'vm-state', verdict: 'fail', says: /redis is stopped on host alpha.*start it first/, vm: { state: 'stopped' } },
  { check: 'vm-state', verdict: 'fail', says: /is in-doubt.*sealift vm show redis/, vm: { state: 'in-doubt' } },
  { check: 'vm-state', verdict: 'fail', says: /not to be found on host alpha/, vm: { state: 'unknown' } },
  { check: 'vm-state', verdict: 'fail', says: /host alpha does not answer/, vm: { state: 'unknown' }, alpha: { state: 'unreachable' } },
  { check: 'vm-state', verdict: 'fail', says: /the manager does not have there/, vm: { known: false } },
  {
    check: 'vm-state',
    verdict: 'fail',
    says: /already moving from host alpha to host bravo.*of-redis/,
    site: { migrations: [moving('redis', 'alpha', 'bravo')] },
  },
  { check: 'host-state', verdict: 'pass', says: /bravo answers/ },
  { check: 'host-state', verdict: 'fail', says: /host bravo does not answer.*sealift host show bravo/, bravo: { state: 'unreachable' } },
  { check: 'host-state', verdict: 'fail', says: /host bravo does not answer/, bravo: { silent: true } },
  { check: 'host-state', verdict: 'fail', says: /is in maintenance.*sealift host undrain bravo/, bravo: { maintenance: 'maintenance' } },
  { check: 'host-state', verdict: 'fail', says: /is being drained/, bravo: { maintenance: 'draining' } },
  {
    check: 'host-state',
    verdict: 'fail',
    says: /bravo already has a VM redis/,
    bravo: { report: { vms: [{ definition: { name: 'redis', memoryMiB: 64 } as never, state: 'stopped', log: '' }] } }, // all that is read of it
  },
  { check: 'protocol', verdict: 'pass', says: /version 1/ },
  { check: 'protocol', verdict: 'fail', says: /bravo speaks version 2.*update/, bravo: { report: { protocolVersion: 2 } } },
  { check: 'qemu-version', verdict: 'pass', says: /bravo 10\.0\.2/, bravo: { report: { qemu: { ...qemu, version: '10.0.2' } } } },
  {
    check: 'qemu-version',
    verdict: 'fail',
    says: /7\.2\.22 is older than 10\.0\.2.*backwards/,
    alpha: { report: { qemu: { ...qemu, version: '10.0.2' } } },
  },
  { check: 'qemu-version', verdict: 'fail', says: /no multifd.*0 multifd/, bravo: { report: { qemu: { ...qemu, capabilities: [] } } } },
  {
    check: 'qemu-version',
    verdict: 'pass',
    says: /QEMU/,
    bravo: { report: { qemu: { ...qemu, capabilities: [] } } },
    order: { to: 'bravo', multifdChannels: 0 },
  },
  { check: 'machine-type', verdict: 'pass', says: /knows machine type pc-q35-7\.2/ },
  { check: 'machine-type', verdict: 'fail', says: /does not know machine type pc-q35-9\.0/, vm: { definition: { machine: 'pc-q35-9.0' } } },
  { check: 'accelerator', verdict: 'pass', says: /kvm/ },
  {
    check: 'accelerator',
    verdict: 'fail',
    says: /alpha runs VMs under kvm, bravo under tcg/,
    bravo: { report: { qemu: { ...qemu, accel: 'tcg' } } },
  },
  { check: 'cpu', verdict: 'pass', says: /gives CPU model Nehalem,\+sse4\.1 in full/, vm: { definition: { cpuModel: 'Nehalem,+sse4.1' } } },
  {
    check: 'cpu',
    verdict: 'fail',
    says: /cannot give CPU model Skylake-Server.*lacks avx512f, pcid/,
    vm: { definition: { cpuModel: 'Skylake-Server' } },
  },
  { check: 'cpu', verdict: 'fail', says: /does not know Zen9/, vm: { definition: { cpuModel: 'Zen9' } } },
  { check: 'cpu', verdict: 'fail', says: /it lacks pcid/, vm: { definition: { cpuModel: 'qemu64,+pcid' } } },
  { check: 'cpu', verdict: 'fail', says: /it lacks avx512f/, vm: { definition: { cpuModel: 'qemu64,avx512f=on' } } },
  { check: 'cpu', verdict: 'pass', says: /in full/, vm: { definition: { cpuModel: 'qemu64,-pcid' } } },
  {
    check: 'cpu',
    verdict: 'fail',
    says: /host is whatever the host has, and host alpha has Xeon/,
    vm: { definition: { cpuModel: 'host' } },
    bravo: { report: { cpu: { model: 'EPYC', usable: ['host'], missing: {} } } },
  },
  { check: 'cpu', verdict: 'warn', says: /does not say/, bravo: { report: { cpu: undefined as never } } }, // as an agent that leaves it out
  { check: 'cpu', verdict: 'warn', says: /not Nehalem, the baseline/, site: { cluster: { cpuBaseline: 'Nehalem' } } },
  {
    check: 'cpu',
    verdict: 'fail',
    says: /cannot give Skylake-Server, the CPU baseline.*avx512f/,
    site: { cluster: { cpuBaseline: 'Skylake-Server' } },
  },
  { check: 'cpu', verdict: 'pass', says: /its cluster's baseline/, site: { cluster: { cpuBaseline: 'qemu64' } } },
  { check: 'memory', verdict: 'pass', says: /needs 1024 MiB and 1024 MiB of 1024 MiB are free/, bravo: { totalMiB: 1024 } },
  { check: 'memory', verdict: 'fail', says: /does not fit on host bravo.*needs 1024 MiB and 1000 MiB/, bravo: { totalMiB: 1000 } },
  {
    check: 'memory',
    verdict: 'fail',
    says: /500 MiB of 1500 MiB are free \(1000 MiB are kept for VMs on their way there\)/,
    bravo: { totalMiB: 1500 },
    more: [{ name: 'other', host: 'alpha', definition: { memoryMiB: 1000 } }],
    site: { migrations: [moving('other', 'alpha', 'bravo')] },
  },
  { check: 'networks', verdict: 'pass', says: /bravo has bridge br0/, vm: { definition: { nics: [nic('br0')] } } },
  { check: 'networks', verdict: 'fail', says: /no bridges br7, br8.*it has br0/, vm: { definition: { nics: [nic('br7'), nic('br8')] } } },
  { check: 'disks', verdict: 'pass', says: /shared: \/srv\/redis/, vm: { definition: { disks: [disk(true)] } } },
  {
    check: 'disks',
    verdict: 'fail',
    says: /only its host sees, by its path: \/srv\/redis.*image import/,
    vm: { definition: { disks: [disk(false)] } },
  },
  {
    check: 'disks',
    verdict: 'fail',
    says: /bravo has no pool fast, and disk data in pool fast of VM redis goes with it.*--pool fast=/,
    vm: { definition: { disks: [poolDisk(false)] } },
  },
  {
    check: 'disks',
    verdict: 'fail',
    says: /bravo has no pool fast, and disk data in pool fast of VM redis is shared/,
    vm: { definition: { disks: [poolDisk(true)] } },
  },
  {
    check: 'disks',
    verdict: 'warn',
    says: /\/boot\/vmlinuz/,
    vm: { definition: { kernelBoot: { kernel: '/boot/vmlinuz', cmdline: '' } } },
  },
  { check: 'devices', verdict: 'pass', says: /no device/ },
  { check: 'devices', verdict: 'fail', says: /vfio-pci.*gpu 0; .*too/, vm: { immovable: ['vfio-pci holds gpu 0', 'this too'] } },
  { check: 'devices', verdict: 'fail', says: /not started by sealift on host alpha/, vm: { adopted: true } },
  { check: 'rules', verdict: 'pass', says: /no rule names VM redis/ },
  {
    check: 'rules',
    verdict: 'fail',
    says: /rule quorum \(apart, must\): VM other is on host bravo/,
    more: [{ name: 'other', host: 'bravo' }],
    site: { rules: [ruleOf('quorum', 'apart', ['redis', 'other'], { must: true })] },
  },
  {
    check: 'rules',
    verdict: 'warn',
    says: /other is on host bravo.*counts against/,
    more: [{ name: 'other', host: 'bravo' }],
    site: { rules: [ruleOf('quorum', 'apart', ['redis', 'other'])] },
  },
  {
    check: 'rules',
    verdict: 'fail',
    says: /other is on host bravo/,
    more: [{ name: 'other', host: 'alpha' }],
    site: { rules: [ruleOf('quorum', 'apart', ['redis', 'other'], { must: true })], migrations: [moving('other', 'alpha', 'bravo')] },
  },
  {
    check: 'rules',
    verdict: 'pass',
    says: /keeps every rule/,
    more: [{ name: 'other', host: 'bravo', state: 'stopped' }],
    site: { rules: [ruleOf('quorum', 'apart', ['redis', 'other'], { must: true })] },
  },
  {
    check: 'rules',
    verdict: 'fail',
    says: /VM other is on host alpha/,
    more: [{ name: 'other', host: 'alpha' }],
    site: { rules: [ruleOf('pair', 'together', ['redis', 'other'], { must: true })] },
  },
  {
    check: 'rules',
    verdict: 'warn',
    says: /belongs on alpha/,
    site: { rules: [ruleOf('pin', 'on-hosts', ['redis'], { hosts: ['alpha'] })] },
  },
  {
    check: 'rules',
    verdict: 'fail',
    says: /must not be on host bravo/,
    site: { rules: [ruleOf('ban', 'not-on-hosts', ['redis'], { hosts: ['bravo'], must: true })] },
  },
  { check: 'concurrency', verdict: 'pass', says: /have room/ },
  {
    check: 'concurrency',
    verdict: 'wait',
    says: /host alpha takes part in 1 migrations, of 1 at once.*host bravo/,
    more: [{ name: 'other', host: 'alpha' }],
    site: { cluster: { limits: { perHost: 1 } }, migrations: [moving('other', 'alpha', 'bravo')] },
  },
  {
    check: 'concurrency',
    verdict: 'wait',
    says: /cluster default has 1 migrations, of 1 at once/,
    more: [{ name: 'other', host: 'alpha' }],
    site: { cluster: { limits: { perCluster: 1 } }, migrations: [moving('other', 'alpha', 'bravo')] },
  },
];

describe('checks', () => {
  for (const { check, verdict, says, vm, alpha, bravo, site, more = [], order = { to: 'bravo' } } of cases) {
    it(`${check}: ${verdict}, ${says.source}`, () => {
      const snapshot = snapshotOf({
        hosts: [
          { name: 'alpha', ...alpha },
          { name: 'bravo', ...bravo },
        ],
        vms: [{ name: 'redis', host: 'alpha', ...vm }, ...more],
        ...site,
      });
      const plan = planMigration(snapshot, 'redis', order);
      const found = plan.checks.find(({ name }) => name === check);
      assert.equal(found?.verdict, verdict, found?.reason);
      assert.match(`${found?.reason}; ${found?.remedy}`, says);
      if (verdict === 'fail') assert.ok(found?.remedy);
      // One failing check is enough, and nothing else stood in the way.
      assert.equal(plan.to, verdict === 'fail' ? undefined : 'bravo');
    });
  }

  it('shows all of them at once', () => {
    const snapshot = snapshotOf({
      hosts: [{ name: 'alpha' }, { name: 'bravo', totalMiB: 100, report: { bridges: [], protocolVersion: 3 } }],
      vms: [{ name: 'redis', host: 'alpha', definition: { nics: [nic('br0')] } }],
    });
    const { checks } = planMigration(snapshot, 'redis', { to: 'bravo' });
    assert.equal(checks.length, 14);
    const failed = checks.filter(({ verdict }) => verdict === 'fail').map(({ name }) => name);
    assert.deepEqual(failed, ['protocol', 'memory', 'networks']);
  });

  it('compare QEMU by its series', () => {
    const older: [string, string][] = [
      ['7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)', '8.0.0'],
      ['7.2.0', '10.0.2'],
      ['9.2.1', '10.0.0'],
      ['nonsense', '7.2.0'],
    ];
    for (const [version, than] of older) {
      assert.ok(isOlder(version, than), `${version} < ${than}`);
      assert.ok(!isOlder(than, version));
    }
    assert.ok(!isOlder('7.2.1', '7.2.22'));
    assert.ok(!isOlder('10.0.2', '10.0.2'));
  });
});
