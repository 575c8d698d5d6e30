import { type LaunchOptions, MAX_SOCKET_PATH, type RuntimePaths, type VmDefinition } from './definition.ts';
import { HypervisorError } from './error.ts';

/**
 * PCI slots are fixed, so that a device keeps its place whatever else the VM has; migration needs the same place on both ends.
 * Slots 0, 1 and 0x1f belong to the chipsets of i440fx and q35.
 */
const RNG_SLOT = 0x2;
const FIRST_NIC_SLOT = 0x3;
const FIRST_DISK_SLOT = 0xb;
const SEED_SLOT = 0x1b;
const MAX_NICS = FIRST_DISK_SLOT - FIRST_NIC_SLOT;
const MAX_DISKS = SEED_SLOT - FIRST_DISK_SLOT;

/**
 * Under TCG a VM gets 8 KiB more than asked for, so that its RAM is no multiple of 256 KiB. QEMU before 9.0 reads the dirty bitmap of a RAM block of such a
 * size in a fast way that forgets to tell the vCPUs' TLBs (its commit 03bfc2188f mends that), and guests lose writes while they migrate. The slow
 * way, taken for every other size, does tell them. docs/adr/0003-dirty-tracking-under-tcg.md has the measurements. Alike for every version of QEMU, so that
 * all of them can exchange the VM.
 */
const memorySize = (memoryMiB: number, accel: LaunchOptions['accel']): string =>
  accel === 'tcg' ? `${memoryMiB * 1024 + 8}K` : `${memoryMiB}M`;

/**
 * QEMU's arguments (without the program itself) for a VM. Everything that is not written here stays out: `-nodefaults`.
 * The guest-visible part depends on the definition, and on whether there is a seed, never on paths or other options, so that source and destination agree.
 * @throws HypervisorError `definition`, naming what cannot be expressed
 */
export function commandLine(vm: VmDefinition, paths: RuntimePaths, options: LaunchOptions): string[] {
  check(vm, paths, options);
  const memory = memorySize(vm.memoryMiB, options.accel);
  const argv = [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-shutdown'],
    ...['-msg', 'timestamp=on'],
    ...['-name', list(vm.name, { 'debug-threads': 'on' })],
    ...['-machine', list(vm.machine, { 'memory-backend': 'pc.ram', 'dump-guest-core': 'off', usb: 'off' })],
    ...['-accel', options.accel === 'tcg' ? 'tcg,thread=multi' : 'kvm'],
    ...['-cpu', vm.cpuModel],
    ...['-smp', `cpus=${vm.vcpus},maxcpus=${vm.vcpus},sockets=1,cores=${vm.vcpus},threads=1`],
    ...['-m', `size=${memory}`],
    // Always spelled out, with the name that QEMU's own default has in the migration stream, so that preallocating on one side only changes nothing.
    ...[
      '-object',
      list('memory-backend-ram', {
        id: 'pc.ram',
        size: memory,
        'x-use-canonical-path-for-ramblock-id': 'off',
        ...(options.preallocate && { prealloc: 'on' }),
      }),
    ],
    ...['-chardev', list('socket', { id: 'qmp', path: paths.qmpSocket, server: 'on', wait: 'off' })],
    ...['-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', list('socket', { id: 'qmp-spare', path: paths.spareQmpSocket, server: 'on', wait: 'off' })],
    ...['-mon', 'chardev=qmp-spare,mode=control'],
    ...['-pidfile', paths.pidfile],
    ...[
      '-chardev',
      list('socket', {
        id: 'serial0',
        path: paths.serialSocket,
        server: 'on',
        wait: 'off',
        logfile: paths.serialLog,
        logappend: 'on',
      }),
    ],
    ...['-device', 'isa-serial,chardev=serial0'],
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom'],
    ...['-device', `virtio-rng-pci,rng=rng0,addr=${hex(RNG_SLOT)}`],
  ];
  if (vm.uuid !== undefined) argv.push('-uuid', vm.uuid);
  if (vm.kernelBoot) {
    argv.push('-kernel', vm.kernelBoot.kernel, '-append', vm.kernelBoot.cmdline);
    if (vm.kernelBoot.initrd !== undefined) argv.push('-initrd', vm.kernelBoot.initrd);
  }
  vm.nics.forEach((nic, i) => {
    const ifname = options.tapNames[i] ?? ''; // as many as there are NICs, see check()
    argv.push('-netdev', list('tap', { id: `net${i}`, ifname, script: 'no', downscript: 'no' }));
    // Without a boot ROM: nothing here boots from the network, and the ROM's size would have to match on both ends.
    argv.push(
      '-device',
      list('virtio-net-pci', { netdev: `net${i}`, id: `nic${i}`, mac: nic.mac, romfile: '', addr: hex(FIRST_NIC_SLOT + i) }),
    );
  });
  // Boot indexes from 1: a kernel that is booted directly has 0.
  vm.disks.forEach((disk, i) => {
    argv.push(
      '-blockdev',
      list('driver=file', { 'node-name': `disk${i}-file`, filename: disk.path, locking: 'on', discard: 'unmap' }),
      '-blockdev',
      list(`driver=${disk.format}`, { 'node-name': `disk${i}`, file: `disk${i}-file`, discard: 'unmap' }),
      '-device',
      list('virtio-blk-pci', { drive: `disk${i}`, id: `virtio-disk${i}`, addr: hex(FIRST_DISK_SLOT + i), bootindex: String(i + 1) }),
    );
  });
  if (options.seed !== undefined) {
    argv.push(
      '-blockdev',
      list('driver=file', { 'node-name': 'seed-file', filename: options.seed, 'read-only': 'on' }),
      '-blockdev',
      list('driver=raw', { 'node-name': 'seed', file: 'seed-file', 'read-only': 'on' }),
      '-device',
      list('virtio-blk-pci', { drive: 'seed', id: 'virtio-seed', addr: hex(SEED_SLOT) }),
    );
  }
  if (options.incoming) argv.push('-incoming', 'defer');
  if (options.paused) argv.push('-S');
  return argv;
}

const hex = (slot: number): string => `0x${slot.toString(16)}`;

/** QEMU splits option lists at commas; a doubled comma is one within a value. */
export const escapeOption = (value: string): string => value.replaceAll(',', ',,');

const list = (head: string, pairs: Readonly<Record<string, string>>): string =>
  [escapeOption(head), ...Object.entries(pairs).map(([key, value]) => `${key}=${escapeOption(value)}`)].join(',');

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const MACHINE = /^[A-Za-z0-9][A-Za-z0-9_-]*-[a-z]*\d+(\.\d+)+$/;
const CPU = /^[A-Za-z0-9][A-Za-z0-9_.-]*(,([+-][A-Za-z0-9_.-]+|[A-Za-z0-9_.-]+=[A-Za-z0-9_.-]+))*$/;
const UUID = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;
const MAC = /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/;
const INTERFACE = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,14}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f]/;

/** What commas cannot protect is refused: control characters, relative paths, sockets too long for the kernel, words that mean something to QEMU. */
function check(vm: VmDefinition, paths: RuntimePaths, options: LaunchOptions): void {
  const shape = (what: string, value: string, pattern: RegExp): void => {
    if (!pattern.test(value)) refuse(what, value, `it must match ${pattern.source}`);
  };
  const path = (what: string, value: string): void => {
    if (!value.startsWith('/')) refuse(what, value, 'it must be an absolute path');
    if (CONTROL.test(value)) refuse(what, value, 'it has a control character');
  };
  const count = (what: string, value: number, most: number): void => {
    if (!Number.isSafeInteger(value) || value < 1 || value > most)
      refuse(what, String(value), `it must be a whole number from 1 to ${most}`);
  };

  shape('the name', vm.name, NAME);
  shape('the machine type', vm.machine, MACHINE);
  if (vm.cpuModel === 'help') refuse('the CPU model', vm.cpuModel, 'QEMU would list models in place of starting');
  shape('the CPU model', vm.cpuModel, CPU);
  count('the memory in MiB', vm.memoryMiB, 2 ** 24);
  count('the number of vCPUs', vm.vcpus, 1024);
  if (vm.uuid !== undefined) shape('the UUID', vm.uuid, UUID);
  if (vm.kernelBoot) {
    const { kernel, initrd, cmdline } = vm.kernelBoot;
    path('the kernel', kernel);
    if (initrd !== undefined) {
      path('the initrd', initrd);
      // With a multiboot kernel QEMU takes it for a list of modules.
      if (initrd.includes(',')) refuse('the initrd', initrd, 'it has a comma');
    }
    if (CONTROL.test(cmdline)) refuse("the kernel's command line", cmdline, 'it has a control character');
  }
  if (vm.disks.length > MAX_DISKS) refuse('the number of disks', String(vm.disks.length), `there is room for ${MAX_DISKS}`);
  for (const disk of vm.disks) {
    path('the disk', disk.path);
    shape("the disk's format", disk.format, /^(raw|qcow2)$/);
  }
  if (options.seed !== undefined) path('the seed', options.seed);
  if (vm.nics.length > MAX_NICS) refuse('the number of NICs', String(vm.nics.length), `there is room for ${MAX_NICS}`);
  for (const nic of vm.nics) shape('the MAC address', nic.mac, MAC);
  if (options.tapNames.length !== vm.nics.length) {
    refuse('the number of taps', String(options.tapNames.length), `the VM has ${vm.nics.length} NICs`);
  }
  for (const tap of options.tapNames) shape('the tap', tap, INTERFACE);
  shape('the accelerator', options.accel, /^(kvm|tcg)$/);
  path('the pidfile', paths.pidfile);
  path('the serial log', paths.serialLog);
  for (const socket of [paths.qmpSocket, paths.spareQmpSocket, paths.serialSocket]) {
    path('the socket', socket);
    checkSocketPath(socket);
  }
}

/** @throws HypervisorError `definition` where the kernel cannot bind a unix socket of that name */
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    refuse('the socket', path, `Linux takes at most ${MAX_SOCKET_PATH} bytes for a socket's path; use a shorter run directory`);
  }
}

function refuse(what: string, value: string, why: string): never {
  throw new HypervisorError('definition', `${what} cannot be given to QEMU: ${why}; it is ${JSON.stringify(value.slice(0, 200))}`);
}
