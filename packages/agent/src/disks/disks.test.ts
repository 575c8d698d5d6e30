/** Disks in pools on real files and the real qemu-img: they are made and removed with their VM, whole or not at all. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type Disk, type PoolDisk, SealiftError } from '@sealift/contract';
import fc from 'fast-check';
import { pino } from 'pino';
import { checkOptions } from '../options.ts';
import { bareVm } from '../testing/bare-vm.ts';
import { saveRecord } from '../vms/definitions.ts';
import { VmHost } from '../vms/host.ts';
import { vmPaths } from '../vms/paths.ts';
import { Images } from './images.ts';
import { Pools } from './pools.ts';
import { readFacts } from './qcow2.ts';

const MiB = 2 ** 20;
const log = pino({ level: 'silent' });

let directory: string;
let pool: string;
let open: VmHost[];
let mounted: boolean;

const start = async (): Promise<VmHost> => {
  const directories = { state: join(directory, 'state'), run: join(directory, 'run') };
  const pools = new Pools('alpha', [{ name: 'fast', path: pool }]);
  const host = await VmHost.open({
    ...directories,
    pools,
    qemu: { binary: 'qemu-system-x86_64', accel: 'tcg' },
    memoryMiB: undefined,
    log,
  });
  open.push(host);
  return host;
};
const imagesOf = (host: VmHost): Images => new Images(host.disks, () => host.list().map(({ definition }) => definition), log);
const disk = (name: string, rest: Partial<PoolDisk> = {}): PoolDisk => ({
  pool: 'fast',
  name,
  format: 'qcow2',
  shared: false,
  ...(rest.image === undefined && { sizeMiB: 4 }),
  ...rest,
});
const vmOf = (name: string, ...disks: Disk[]) => bareVm(name, { disks });
const inPool = (): string[] => readdirSync(pool).sort();
const refused = (expected: string, words: RegExp) => (error: unknown) =>
  error instanceof SealiftError && error.code === expected && words.test(error.message);

/** 3 MiB with a word at its start, beyond its first MiB a hole. */
const writeImage = (name: string): string => {
  const file = join(pool, 'images', name);
  writeFileSync(file, Buffer.concat([Buffer.from('the image'), Buffer.alloc(MiB, 7)]));
  truncateSync(file, 3 * MiB);
  return file;
};

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sealift-disks-'));
  pool = join(directory, 'pool');
  mkdirSync(pool);
  open = [];
  mounted = false;
});
afterEach(async () => {
  for (const host of open) host.close();
  if (mounted) execFileSync('umount', ['-l', pool]);
  await rm(directory, { recursive: true, force: true });
});

test('no two disks have one file, and none is outside its pool, whatever VMs and disks are called', () => {
  const pools = new Pools('alpha', [{ name: 'fast', path: '/pool' }]);
  const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/);
  const format = fc.constantFrom('raw' as const, 'qcow2' as const);
  const one = fc.tuple(name, name, format).map(([vm, each, its]) => ({ vm, disk: disk(each, { format: its }) }));
  fc.assert(
    fc.property(one, one, (a, b) => {
      const [first, second] = [pools.disk(a.vm, a.disk), pools.disk(b.vm, b.disk)];
      assert.equal(dirname(first), '/pool');
      assert.ok(!basename(first).startsWith('.') && basename(first) !== 'images');
      const same = a.vm === b.vm && a.disk.name === b.disk.name && a.disk.format === b.disk.format;
      assert.equal(first === second, same);
    }),
  );
});

test('an option names a pool and its directory, each once', () => {
  const raw = {
    name: 'alpha',
    state: '/s',
    run: '/r',
    listen: '127.0.0.1:1',
    migrationListen: [],
    cert: '',
    key: '',
    ca: '',
    accel: 'tcg',
    qemu: 'q',
  };
  assert.deepEqual(checkOptions({ ...raw, pool: ['fast=/srv//vms/'] }).pools, [{ name: 'fast', path: '/srv/vms' }]);
  assert.throws(
    () => checkOptions({ ...raw, pool: ['srv/vms'] }),
    /--pool srv\/vms: give a name, a DNS label, and the absolute path of a directory/,
  );
  assert.throws(() => checkOptions({ ...raw, pool: ['a=/srv', 'b=/srv/'] }), /another --pool has the same name or directory/);
});

test('blank, copied and cloned disks come with their VM, for nobody else to read, and go with it; images stay', async () => {
  const host = await start();
  const image = writeImage('base.raw');
  const definition = vmOf(
    'web',
    disk('blank'),
    disk('flat', { format: 'raw' }),
    disk('copy', { image: 'base.raw', sizeMiB: 5, format: 'raw' }),
    disk('clone', { image: 'base.raw', clone: true }),
  );
  await host.define(definition);
  const files = ['web.blank.qcow2', 'web.clone.qcow2', 'web.copy.raw', 'web.flat.raw'];
  assert.deepEqual(inPool(), ['images', ...files]);
  for (const file of files) assert.equal(statSync(join(pool, file)).mode & 0o777, 0o600, file);
  const facts = await Promise.all(files.map((file) => readFacts(join(pool, file), file.endsWith('.raw') ? 'raw' : 'qcow2')));
  assert.deepEqual(
    facts.map(({ sizeBytes }) => sizeBytes / MiB),
    [4, 3, 5, 4],
  );
  assert.deepEqual(
    facts.map(({ backing }) => backing),
    [undefined, image, undefined, undefined],
  );
  assert.equal(readFileSync(join(pool, 'web.copy.raw')).toString('latin1', 0, 9), 'the image');
  const through = execFileSync('qemu-io', ['-r', '-f', 'qcow2', '-c', 'read -P 7 1000000 1000', join(pool, 'web.clone.qcow2')], {
    encoding: 'utf8',
  });
  assert.match(through, /read 1000\/1000/, 'a clone shows what its image holds');

  const [listed] = await imagesOf(host).list();
  assert.deepEqual(listed?.usedBy, [join(pool, 'web.clone.qcow2')]);
  await assert.rejects(imagesOf(host).remove('fast', 'base.raw'), refused('wrong_state', /web\.clone\.qcow2 would be lost/));
  assert.deepEqual(await host.remove('web'), {
    removedDisks: ['blank', 'flat', 'copy', 'clone'].map((name) =>
      host.disks.files('web', definition.disks).find((file) => file.includes(name)),
    ),
  });
  assert.deepEqual(inPool(), ['images']);
  assert.ok(existsSync(image));
  await imagesOf(host).remove('fast', 'base.raw');
  assert.ok(!existsSync(image));
});

test('a VM that cannot have all of its disks is not made, and leaves none; a file that was there is not touched', async () => {
  const host = await start();
  const nothing = ['images'];
  await assert.rejects(
    host.define(vmOf('web', disk('a'), disk('b', { image: 'gone' }))),
    refused('not_found', /pool fast of host alpha has no image gone/),
  );
  assert.deepEqual(inPool(), nothing);
  await assert.rejects(
    host.define(vmOf('web', disk('a'), disk('b', { pool: 'slow' }))),
    refused('no_room', /has no pool slow; it has fast/),
  );
  writeFileSync(join(pool, 'images/broken.qcow2'), 'this is none');
  await assert.rejects(host.define(vmOf('web', disk('b', { image: 'broken.qcow2' }))), refused('hypervisor', /is no qcow2 file/));
  await assert.rejects(
    host.define(vmOf('web', disk('a'), disk('a', { format: 'raw' }))),
    refused('invalid_request', /name of another disk/),
  );
  await assert.rejects(
    host.define(vmOf('web', disk('a', { format: 'raw', sizeMiB: 2 ** 26 }))),
    refused('no_room', /disk a of VM web has no room in pool fast of host alpha/),
  );
  writeImage('base.raw');
  await assert.rejects(
    host.define(vmOf('web', disk('a', { image: 'base.raw', sizeMiB: 2 }))),
    refused('invalid_request', /cannot have 2 MiB: its image base\.raw has 3 MiB/),
  );
  assert.deepEqual(inPool(), nothing);

  writeFileSync(join(pool, 'web.b.raw'), 'somebody needs this');
  await assert.rejects(
    host.define(vmOf('web', disk('a'), disk('b', { format: 'raw' }))),
    refused('already_exists', /there is a file .*web\.b\.raw already/),
  );
  assert.deepEqual(inPool(), ['images', 'web.b.raw']);
  assert.equal(readFileSync(join(pool, 'web.b.raw'), 'utf8'), 'somebody needs this');
  assert.deepEqual(host.list(), []);
  assert.deepEqual(readdirSync(join(directory, 'state/vms')), []);
});

test('disks are added to a VM, never remade; those taken out stay as files, and so do all where that is ordered', async () => {
  const host = await start();
  await host.define(vmOf('web', disk('a')));
  await host.change('web', vmOf('web', disk('a'), disk('b')));
  await assert.rejects(
    host.change('web', vmOf('web', disk('a', { sizeMiB: 8 }), disk('c'))),
    refused('invalid_request', /disk a of VM web is made already/),
  );
  await assert.rejects(host.change('web', vmOf('web', disk('a', { format: 'raw' }))), refused('invalid_request', /is made already/));
  assert.deepEqual(inPool(), ['images', 'web.a.qcow2', 'web.b.qcow2']);
  await host.change('web', vmOf('web', disk('b')));
  assert.deepEqual(await host.remove('web', true), { keptDisks: [join(pool, 'web.b.qcow2')] });
  assert.deepEqual(inPool(), ['images', 'web.a.qcow2', 'web.b.qcow2']);
});

test('an agent that died on the way has the VM with its disks, or nothing of it; what others make is left alone', async () => {
  const first = await start();
  await first.define(vmOf('kept', disk('a')));
  await first.define(vmOf('going', disk('a')));
  first.close();
  const paths = (vm: string) => vmPaths(join(directory, 'state'), join(directory, 'run'), vm);
  // Recorded, and not yet named; ordered to go, and not yet gone; never recorded; another host's, and an image's.
  execFileSync('mv', [join(pool, 'kept.a.qcow2'), join(pool, '.partial-alpha.kept.a.qcow2')]);
  await saveRecord(paths('going'), { definition: vmOf('going', disk('a')), leaving: true, disksToo: true });
  for (const file of ['.partial-alpha.lost.a.raw', '.partial-bravo.lost.a.raw', 'images/.partial-alpha.base.raw', 'stranger.raw']) {
    writeFileSync(join(pool, file), 'half');
  }
  const second = await start();
  assert.deepEqual(
    second.list().map(({ name }) => name),
    ['kept'],
  );
  assert.deepEqual(inPool(), ['.partial-bravo.lost.a.raw', 'images', 'kept.a.qcow2', 'stranger.raw']);
  assert.deepEqual(readdirSync(join(pool, 'images')), []);
});

test('images are imported whole or not at all', async () => {
  const host = await start();
  const images = imagesOf(host);
  const path = join(directory, 'upload.img');
  writeFileSync(path, 'boot me');
  truncateSync(path, 2 * MiB);
  const { allocatedBytes: _, ...made } = await images.import({ pool: 'fast', name: 'debian.qcow2', path });
  assert.deepEqual(made, { pool: 'fast', name: 'debian.qcow2', format: 'qcow2', sizeBytes: 2 * MiB, usedBy: [] });
  await assert.rejects(
    images.import({ pool: 'fast', name: 'debian.qcow2', path }),
    refused('already_exists', /has an image debian\.qcow2 already/),
  );
  await assert.rejects(
    images.import({ pool: 'fast', name: 'other', path: '/no/such' }),
    refused('not_found', /no file \/no\/such on host alpha/),
  );
  await assert.rejects(
    images.import({ pool: 'fast', name: 'other', path, format: 'qcow2' }),
    refused('hypervisor', /image other could not be made in pool fast of host alpha/),
  );
  assert.deepEqual(readdirSync(join(pool, 'images')), ['debian.qcow2']);
  await host.define(vmOf('web', disk('root', { image: 'debian.qcow2' })));
  await assert.rejects(images.remove('fast', 'none'), refused('not_found', /has no image none/));
  await images.remove('fast', 'debian.qcow2'); // a copy stands alone
});

test('a file system that becomes full while a disk is copied is named with what to do, and nothing is left on it', {
  skip: process.getuid?.() !== 0 && 'needs root: it mounts a small file system',
}, async () => {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'sealift-test', pool]);
  mounted = true;
  const host = await start();
  // It says that it takes less than it holds: compressed, 5 MiB fit into a few KiB.
  const plain = join(directory, 'plain.raw');
  writeFileSync(plain, Buffer.alloc(8 * MiB, 7));
  execFileSync('qemu-img', ['convert', '-q', '-c', '-f', 'raw', '-O', 'qcow2', plain, join(pool, 'images/dense.qcow2')]);
  const words =
    /disk root of VM web has no room in pool fast of host alpha: it became full meanwhile; nothing of it is left there; \d MiB of 6 MiB are free in .*\. Remove disks or images there/;
  await assert.rejects(host.define(vmOf('web', disk('root', { image: 'dense.qcow2' }))), refused('no_room', words));
  assert.deepEqual(inPool(), ['images']);
  await assert.rejects(
    imagesOf(host).import({ pool: 'fast', name: 'plain.raw', path: plain }),
    refused('no_room', /image plain\.raw has no room in pool fast/),
  );
  await host.define(vmOf('web', disk('root', { image: 'dense.qcow2', clone: true })));
});

test('one image of a name is imported at a time: the other one is refused, and spoils nothing', async () => {
  const images = imagesOf(await start());
  const path = join(directory, 'large.img');
  writeFileSync(path, Buffer.alloc(8 * MiB, 7));
  const import_ = () => images.import({ pool: 'fast', name: 'large.raw', path });
  const first = import_();
  await Promise.all([first, assert.rejects(import_(), refused('already_exists', /image large\.raw .* is being imported/))]);
  assert.ok(readFileSync(join(pool, 'images/large.raw')).equals(readFileSync(path)));
  assert.deepEqual(readdirSync(join(pool, 'images')), ['large.raw']);
});

test('an image is in use by a disk that a VM has by a path, whatever that is called and however it is written', async () => {
  const host = await start();
  const image = writeImage('base.raw');
  const over = join(directory, 'over.img');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', image, over]);
  await host.define(vmOf('over', { path: over, format: 'qcow2', shared: false }));
  await assert.rejects(imagesOf(host).remove('fast', 'base.raw'), refused('wrong_state', /over\.img would be lost/));
  await host.remove('over');
  await host.define(vmOf('direct', { path: `${pool}//images/./base.raw`, format: 'raw', shared: false }));
  await assert.rejects(imagesOf(host).remove('fast', 'base.raw'), refused('wrong_state', /is in use/));
});

test('a pool that has vanished is named where its images are asked for', async () => {
  const images = imagesOf(await start());
  await rm(pool, { recursive: true });
  await assert.rejects(images.list(), refused('hypervisor', /pool fast of host alpha cannot be read: ENOENT.*mount it/));
});

test('disks that cannot be removed keep neither the agent from starting nor an administrator from keeping what is left', async () => {
  const first = await start();
  await first.define(vmOf('web', disk('a'), disk('b')));
  execFileSync('rm', [join(pool, 'web.a.qcow2')]);
  mkdirSync(join(pool, 'web.a.qcow2'));
  await assert.rejects(first.remove('web'), refused('internal', /a disk of VM web cannot be removed from host alpha/));
  first.close();
  const second = await start();
  await assert.rejects(second.start('web'), refused('wrong_state', /half removed/));
  assert.deepEqual((await second.remove('web', true)).keptDisks, [join(pool, 'web.a.qcow2'), join(pool, 'web.b.qcow2')]);
  assert.ok(existsSync(join(pool, 'web.b.qcow2')));
});

test('a VM whose pool the host has lost is forgotten where its disks are to be kept', async () => {
  const host = await start();
  await host.define(vmOf('web', disk('a')));
  host.close();
  const pools = new Pools('alpha', [{ name: 'other', path: pool }]);
  const without = await VmHost.open({
    state: join(directory, 'state'),
    run: join(directory, 'run'),
    pools,
    qemu: { binary: 'qemu-system-x86_64', accel: 'tcg' },
    memoryMiB: undefined,
    log,
  });
  open.push(without);
  await assert.rejects(without.remove('web'), refused('no_room', /has no pool fast/));
  assert.deepEqual(await without.remove('web', true), {});
  assert.deepEqual([without.list(), inPool()], [[], ['images', 'web.a.qcow2']]);
});

test('a disk that another VM has by its path is not removed with the VM that it was made for', async () => {
  const host = await start();
  await host.define(vmOf('web', disk('a')));
  const file = join(pool, 'web.a.qcow2');
  await host.define(vmOf('rescue', { path: `${pool}//web.a.qcow2`, format: 'qcow2', shared: false }));
  await assert.rejects(host.remove('web'), refused('wrong_state', /web\.a\.qcow2 is a disk of VM rescue as well/));
  assert.ok(existsSync(file));
  await host.remove('rescue');
  assert.deepEqual(await host.remove('web'), { removedDisks: [file] });
});
