import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { VmDefinition } from '@sealift/contract';
import fc from 'fast-check';
import { Check } from 'typebox/value';
import { UsageError } from '../exit-codes.ts';
import { definitionOf, parseNic } from './definition.ts';
import { parseDisk } from './disks.ts';
import { macFor } from './mac.ts';

test("a name alone gives the contract's defaults", async () => {
  assert.deepEqual(await definitionOf('web-1', {}), {
    name: 'web-1',
    memoryMiB: 512,
    vcpus: 1,
    cpuModel: 'qemu64',
    machine: 'pc-q35-7.2',
    disks: [],
    nics: [],
  });
});

test('options become a definition', async () => {
  const definition = await definitionOf('db', {
    memory: 1024,
    vcpus: 2,
    cpuModel: 'EPYC',
    machine: 'pc-q35-9.0',
    kernel: '/boot/vmlinuz',
    cmdline: 'console=ttyS0',
    disk: ['/var/db.qcow2', '/mnt/nfs/data,format=raw,shared'],
    nic: ['br0', 'br1,mac=52:54:00:AA:bb:cc'],
    encryption: 'required',
  });
  assert.deepEqual(definition, {
    name: 'db',
    memoryMiB: 1024,
    vcpus: 2,
    cpuModel: 'EPYC',
    machine: 'pc-q35-9.0',
    kernelBoot: { kernel: '/boot/vmlinuz', cmdline: 'console=ttyS0' },
    disks: [
      { path: '/var/db.qcow2', format: 'qcow2', shared: false },
      { path: '/mnt/nfs/data', format: 'raw', shared: true },
    ],
    nics: [
      { bridge: 'br0', mac: macFor('db', 0) },
      { bridge: 'br1', mac: '52:54:00:aa:bb:cc' },
    ],
    encryption: 'required',
  });
});

test('a file is the base, options go before it, and its NICs get addresses too', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sealift-cli-'));
  try {
    const file = join(folder, 'vm.json');
    await writeFile(file, JSON.stringify({ memoryMiB: 256, vcpus: 4, nics: [{ bridge: 'lan' }], encryption: 'disabled' }));
    const definition = await definitionOf('app', { file, memory: 2048 });
    assert.equal(definition.memoryMiB, 2048);
    assert.equal(definition.vcpus, 4);
    assert.equal(definition.encryption, 'disabled');
    assert.deepEqual(definition.nics, [{ bridge: 'lan', mac: macFor('app', 0) }]);
    await writeFile(file, '[]');
    await assert.rejects(definitionOf('app', { file }), UsageError);
    await writeFile(file, '{');
    await assert.rejects(definitionOf('app', { file }), /neither JSON nor YAML/);
    await writeFile(file, JSON.stringify({ memmory: 1 }));
    await assert.rejects(definitionOf('app', { file }), UsageError);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('disks in pools and a seed, from options and from a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sealift-cli-'));
  try {
    const [userData, file] = [join(folder, 'user-data'), join(folder, 'vm.yaml')];
    await writeFile(userData, '#cloud-config\n');
    const root = { pool: 'fast', name: 'disk0', image: 'debian.qcow2', clone: true, sizeMiB: 20 * 1024, format: 'qcow2', shared: false };
    const fromOptions = await definitionOf('db', { disk: ['pool=fast,image=debian.qcow2,clone,size=20Gi'], userData });
    assert.deepEqual([fromOptions.disks, fromOptions.seed], [[root], { userData: '#cloud-config\n' }]);
    const yaml = 'disks: [{ pool: fast, image: debian.qcow2, clone: true, size: 20Gi }]\nseed: { userData: x, metaData: y }\n';
    await writeFile(file, yaml);
    const fromFile = await definitionOf('db', { file, userData });
    assert.deepEqual([fromFile.disks, fromFile.seed], [[root], { userData: '#cloud-config\n', metaData: 'y' }]);
    const two = ['pool=fast,size=1G,name=a,format=raw', 'pool=fast,size=1M,name=b,shared'];
    assert.deepEqual((await definitionOf('db', { disk: two })).disks, [
      { pool: 'fast', name: 'a', sizeMiB: 954, format: 'raw', shared: false },
      { pool: 'fast', name: 'b', sizeMiB: 1, format: 'qcow2', shared: true },
    ]);
    const wrong: [disks: string[], words: RegExp][] = [
      [['pool=fast'], /disks\.0 \(disk0\) needs sizeMiB, or an image/],
      [['pool=fast,size=1G', 'pool=fast,size=1G'], /disks\.0 is in a pool and needs a name/],
      [['pool=fast,image=a,clone,format=raw'], /a clone: that takes format qcow2/],
      [['pool=fast,image=../a'], /disks\.0\.image/],
      [['pool=fast,size=much'], /size much of a disk is not a size/],
      [['/a,size=1G'], /"size=1G" is neither/],
    ];
    for (const [disk, words] of wrong) await assert.rejects(definitionOf('db', { disk }), words);
    await assert.rejects(definitionOf('db', { userData: join(folder, 'none') }), /none cannot be read/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('what is not right is named', async () => {
  await assert.rejects(definitionOf('db', { encryption: 'maybe' }), /encryption/);
  await assert.rejects(definitionOf('db', { memory: 1 }), /memoryMiB/);
  await assert.rejects(definitionOf('Not A Name', {}), /name/);
  await assert.rejects(definitionOf('db', { initrd: '/i' }), /--kernel/);
  await assert.rejects(definitionOf('db', { disk: ['relative.img'] }), /disks\.0\.path/);
  assert.throws(() => parseDisk('/a,size=4G'), /size=4G/);
  assert.throws(() => parseNic('br0,model=e1000'), /model=e1000/);
});

test('every MAC made up is valid, unicast, locally administered and always the same', async () => {
  await fc.assert(
    fc.asyncProperty(fc.stringMatching(/^[a-z0-9]{1,20}$/), fc.nat(7), async (name, nic) => {
      const mac = macFor(name, nic);
      assert.equal(mac, macFor(name, nic));
      assert.equal(Number.parseInt(mac.slice(0, 2), 16) & 3, 2);
      assert.ok(Check(VmDefinition.properties.nics, [{ bridge: 'br0', mac }]));
    }),
  );
  assert.notEqual(macFor('a', 0), macFor('a', 1));
  assert.notEqual(macFor('a', 0), macFor('b', 0));
});
