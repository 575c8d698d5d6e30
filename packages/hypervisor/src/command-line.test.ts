import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { commandLine, escapeOption } from './command-line.ts';
import type { LaunchOptions, RuntimePaths, VmDefinition } from './definition.ts';
import { HypervisorError } from './error.ts';
import { pathsIn } from './testing/paths.ts';

const vm: VmDefinition = {
  name: 'redis',
  memoryMiB: 512,
  vcpus: 2,
  cpuModel: 'qemu64,+aes',
  machine: 'pc-q35-7.2',
  uuid: '01234567-89ab-cdef-0123-456789abcdef',
  kernelBoot: { kernel: '/boot/vmlinuz', initrd: '/boot/initrd', cmdline: 'console=ttyS0' },
  disks: [{ path: '/images/a.qcow2', format: 'qcow2', shared: true }],
  nics: [{ bridge: 'br0', mac: '52:54:00:00:00:01' }],
};
const paths = pathsIn('/run/vm');
const options: LaunchOptions = { accel: 'tcg', incoming: false, paused: false, tapNames: ['tap0'] };

/** The value that follows each occurrence of a flag. */
const valuesOf = (argv: readonly string[], flag: string): string[] => argv.filter((_, i) => argv[i - 1] === flag);

/** Splits as QEMU's option parser does: at commas, two of them being one within a value. */
function splitOptions(text: string): string[] {
  const parts = [''];
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ',') parts.push(`${parts.pop()}${text[i]}`);
    else if (text[i + 1] === ',') parts.push(`${parts.pop()}${text[++i]}`);
    else parts.push('');
  }
  return parts;
}

it('puts a whole VM on the command line', () => {
  const argv = commandLine(vm, paths, options);
  for (const flag of ['-nodefaults', '-no-user-config', '-no-shutdown']) assert.ok(argv.includes(flag), flag);
  assert.deepEqual(valuesOf(argv, '-name'), ['redis,debug-threads=on']);
  assert.deepEqual(valuesOf(argv, '-machine'), ['pc-q35-7.2,memory-backend=pc.ram,dump-guest-core=off,usb=off']);
  assert.deepEqual(valuesOf(argv, '-netdev'), ['tap,id=net0,ifname=tap0,script=no,downscript=no']);
  assert.ok(valuesOf(argv, '-device').includes('virtio-net-pci,netdev=net0,id=nic0,mac=52:54:00:00:00:01,romfile=,addr=0x3'));
  assert.deepEqual(valuesOf(argv, '-mon'), ['chardev=qmp,mode=control', 'chardev=qmp-spare,mode=control']);
  assert.ok(!argv.includes('-S') && !argv.includes('-incoming'));
});

it('boots a kernel where one is named, and else the first disk: the kernel has boot index 0 in QEMU, which no disk may take', () => {
  const two = commandLine({ ...vm, disks: [...vm.disks, { path: '/images/b.raw', format: 'raw', shared: false }] }, paths, options);
  assert.deepEqual(
    valuesOf(two, '-device').flatMap((device) => /bootindex=(\d+)/.exec(device)?.[1] ?? []),
    ['1', '2'],
  );
});

it('gives a seed a slot behind all disks, and never lets it be written', () => {
  const argv = commandLine(vm, paths, { ...options, seed: '/run/vm/seed,1.img' });
  assert.deepEqual(valuesOf(argv, '-device').at(-1), 'virtio-blk-pci,drive=seed,id=virtio-seed,addr=0x1b');
  assert.deepEqual(valuesOf(argv, '-blockdev').slice(-2), [
    'driver=file,node-name=seed-file,filename=/run/vm/seed,,1.img,read-only=on',
    'driver=raw,node-name=seed,file=seed-file,read-only=on',
  ]);
  assert.ok(!commandLine(vm, paths, options).join().includes('seed'));
  assert.throws(() => commandLine(vm, paths, { ...options, seed: 'seed.img' }), /the seed.*absolute path/);
});

it('shows the guest the same on both ends: options and paths change nothing that it can see', () => {
  const destination: LaunchOptions = { accel: 'tcg', incoming: true, paused: true, preallocate: true, tapNames: ['other'] };
  const there = commandLine(vm, pathsIn('/other'), destination);
  const here = commandLine(vm, paths, options);
  for (const flag of ['-machine', '-cpu', '-smp', '-m', '-device', '-blockdev', '-kernel', '-initrd', '-append', '-uuid']) {
    assert.deepEqual(valuesOf(there, flag), valuesOf(here, flag), flag);
  }
  assert.deepEqual(there.slice(-3), ['-incoming', 'defer', '-S']);
  assert.ok(valuesOf(there, '-object').some((value) => value.endsWith(',prealloc=on')));
});

it('gives a VM no RAM in multiples of 256 KiB under TCG, where QEMU before 9.0 would lose its writes', () => {
  const sizeOf = (accel: LaunchOptions['accel']) => valuesOf(commandLine(vm, paths, { ...options, accel }), '-m')[0];
  assert.equal(sizeOf('kvm'), 'size=512M');
  assert.equal(sizeOf('tcg'), 'size=524296K');
  assert.notEqual(524296 % 256, 0);
});

it('keeps a device in its slot whatever else there is', () => {
  const slot = (definition: VmDefinition): string | undefined =>
    commandLine(definition, paths, options)
      .find((arg) => arg.includes('id=nic0'))
      ?.match(/addr=(\w+)/)?.[1];
  assert.equal(slot(vm), slot({ ...vm, disks: [] }));
});

const refused: readonly (readonly [string, Partial<VmDefinition>])[] = [
  ['an alias of a machine type', { machine: 'q35' }],
  ['options within a machine type', { machine: 'pc-q35-7.2,accel=kvm' }],
  ['a CPU list', { cpuModel: 'help' }],
  ['an empty CPU feature', { cpuModel: 'qemu64,' }],
  ['options within a name', { name: 'a,process=b' }],
  ['no memory', { memoryMiB: 0 }],
  ['half a vCPU', { vcpus: 1.5 }],
  ['a UUID that is none', { uuid: 'x' }],
  ['a relative kernel', { kernelBoot: { kernel: 'vmlinuz', cmdline: '' } }],
  ['a list of initrds', { kernelBoot: { kernel: '/k', initrd: '/a,/etc/shadow', cmdline: '' } }],
  ['a new line in the kernel command line', { kernelBoot: { kernel: '/k', cmdline: 'a\nb' } }],
  ['a protocol for a disk', { disks: [{ path: 'nbd:host:1', format: 'raw', shared: false }] }],
  ['a group address for a NIC', { nics: [{ bridge: 'br0', mac: '01:00:00:00:00:01' }] }],
  ['more disks than slots', { disks: Array.from({ length: 17 }, () => ({ path: '/d', format: 'raw' as const, shared: false })) }],
];
for (const [what, change] of refused) {
  it(`refuses ${what}`, () => {
    assert.throws(
      () => commandLine({ ...vm, ...change }, paths, options),
      (error) => error instanceof HypervisorError && error.code === 'definition',
    );
  });
}

it('refuses taps that are too many or too few, and socket paths that the kernel cannot bind', () => {
  const fails = (p: RuntimePaths, o: LaunchOptions) => assert.throws(() => commandLine(vm, p, o), HypervisorError);
  fails(paths, { ...options, tapNames: [] });
  fails(paths, { ...options, tapNames: ['a', 'b'] });
  fails(paths, { ...options, tapNames: ['a,script=/bin/sh'] });
  fails({ ...paths, qmpSocket: `/${'x'.repeat(107)}` }, options);
});

it('escapes what QEMU then reads back as it was', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      fc.pre(a !== '' || b !== '');
      assert.deepEqual(splitOptions(`a=${escapeOption(a)},b=${escapeOption(b)}`), [`a=${a}`, `b=${b}`]);
    }),
  );
});

it('lets no string of a definition, path or option become another argument or option', () => {
  const nasty = fc.oneof(
    fc.string({ unit: fc.constantFrom(',', '=', '-', 'a', '/', ' ', '.', '{', '"', '\n', '\0', '%'), maxLength: 12 }),
    fc.string({ maxLength: 12 }),
    fc.constantFrom('-S', ',script=/x', '{"driver":"x"}', 'help', '?', 'on,readonly=off'),
  );
  const path = fc.oneof(
    nasty,
    nasty.map((text) => `/${text}`),
  );
  const keys = (argv: readonly string[]): string[] =>
    argv.map((arg, i) => {
      const flag = argv[i - 1] ?? '';
      if (!['-name', '-machine', '-chardev', '-netdev', '-blockdev', '-object', '-device'].includes(flag))
        return arg.startsWith('-') ? arg : '';
      return splitOptions(arg)
        .map((part, n) => (n === 0 && !part.startsWith('driver=') ? '' : part.split('=')[0]))
        .join();
    });
  const plain = keys(commandLine(vm, paths, options));
  let accepted = 0;
  fc.assert(
    fc.property(nasty, nasty, nasty, path, path, nasty, nasty, nasty, (name, machine, cpuModel, file, socket, cmdline, mac, tap) => {
      const choose = <T>(wild: T, tame: T, on: boolean): T => (on ? wild : tame);
      // One at a time, for together they are nearly always refused.
      for (let which = 0; which < 8; which++) {
        const wild: VmDefinition = {
          ...vm,
          name: choose(name, vm.name, which === 0),
          machine: choose(machine, vm.machine, which === 1),
          cpuModel: choose(cpuModel, vm.cpuModel, which === 2),
          disks: [{ path: choose(file, '/d', which === 3), format: 'qcow2', shared: false }],
          kernelBoot: { kernel: choose(file, '/k', which === 4), initrd: '/i', cmdline: choose(cmdline, '', which === 5) },
          nics: [{ bridge: 'br0', mac: choose(mac, '52:54:00:00:00:01', which === 6) }],
        };
        const wildPaths = { ...paths, serialLog: choose(file, '/l', which === 4), serialSocket: choose(socket, '/s', which === 3) };
        try {
          const argv = commandLine(wild, wildPaths, { ...options, tapNames: [choose(tap, 'tap0', which === 7)] });
          accepted++;
          assert.equal(argv[argv.indexOf('-append') + 1], wild.kernelBoot?.cmdline);
          // What is after -append and -cpu is one opaque word to QEMU, whatever it begins with.
          const opaque = argv.map((arg, i) => (argv[i - 1] === '-append' ? '' : arg));
          assert.deepEqual(keys(opaque), plain);
          assert.ok(opaque.every((arg) => !arg.includes('\0') && !arg.startsWith('{')));
        } catch (error) {
          if (!(error instanceof HypervisorError)) throw error;
        }
      }
    }),
    { numRuns: 300 },
  );
  assert.ok(accepted > 300);
});
