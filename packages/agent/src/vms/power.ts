/** Starting and ending a VM's QEMU, with everything of the host that it needs: memory, taps, files. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SealiftError } from '@sealift/contract';
import {
  type Accelerator,
  commandLine,
  cont,
  findQemu,
  isAlive,
  killQemu,
  launchQemu,
  powerdown,
  quit,
  untilGone,
} from '@sealift/hypervisor';
import type { Logger } from 'pino';
import type { Disks } from '../disks/disks.ts';
import { seedOf } from '../disks/seed.ts';
import type { Undo } from '../undo.ts';
import { QemuLink } from './link.ts';
import type { HostMemory } from './memory.ts';
import { createTap, removeTap, tapName } from './network.ts';
import type { Turns } from './turns.ts';
import type { Vm } from './vm.ts';

/** How QEMU is run on this host. */
export interface QemuSetup {
  readonly binary: string;
  readonly accel: Accelerator;
}

export interface PowerContext {
  readonly qemu: QemuSetup;
  readonly memory: HostMemory;
  /** One VM looks for room at a time, or two would be given the same. */
  readonly room: Turns;
  /** The agent's run directory: whose the taps are. */
  readonly owner: string;
  readonly disks: Disks;
  readonly log: Logger;
  readonly poweredOff: (vm: Vm) => void;
}

export interface PowerOn {
  /** For a migration: QEMU waits for it, and for `cont` after it. */
  readonly incoming: boolean;
  readonly preallocate: boolean;
  readonly signal?: AbortSignal;
}

const quitDeadlineMs = 10_000;
/** Preallocating touches about 1 GiB a second; three times that, and a base. */
const startDeadlineMs = (memoryMiB: number): number => 30_000 + 3 * memoryMiB;

/**
 * Reserves, makes taps and starts QEMU; `vm.link` is set when this resolves and the VM does not run yet.
 * @param undo takes everything that was done back
 */
export async function powerOn(vm: Vm, how: PowerOn, context: PowerContext, undo: Undo): Promise<void> {
  const { definition, paths } = vm;
  const stray = await findQemu(paths.pidfile, paths.qmpSocket);
  if (stray) {
    throw new SealiftError(
      'wrong_state',
      `a QEMU that this agent did not know of runs ${vm.name} (process ${stray.pid}); start the agent again and it takes it over`,
    );
  }
  await context.room.take(async () => {
    await context.memory.requireRoom(vm.name, vm.memoryBytes);
    vm.reservation = true;
  });
  undo.push(`give back ${vm.name}'s memory`, () => {
    vm.reservation = false;
  });

  await mkdir(paths.stateDirectory, { recursive: true, mode: 0o700 });
  await rm(paths.runDirectory, { recursive: true, force: true });
  await mkdir(paths.runDirectory, { recursive: true, mode: 0o700 });
  undo.push(`remove ${paths.runDirectory}`, () => rm(paths.runDirectory, { recursive: true, force: true }));

  const tapNames: string[] = [];
  for (const [index, nic] of definition.nics.entries()) {
    const name = tapName(vm.name, index);
    await createTap(name, nic, context.owner);
    undo.push(`remove the tap ${name}`, () => removeTap(name));
    tapNames.push(name);
  }

  const seed = seedOf(definition);
  if (seed) await writeFile(paths.seed, seed, { mode: 0o600 });
  const files = context.disks.files(vm.name, definition.disks);
  const disks = definition.disks.map(({ format, shared }, index) => ({ path: files[index] ?? '', format, shared })); // a file for each
  const options = { ...how, ...(seed && { seed: paths.seed }), accel: context.qemu.accel, tapNames, paused: true };
  const argv = commandLine({ ...definition, disks }, paths, options);
  const running = await launchQemu({
    binary: context.qemu.binary,
    argv,
    logFile: paths.qemuLog,
    qmpSocket: paths.qmpSocket,
    deadlineMs: startDeadlineMs(definition.memoryMiB),
    ...(how.signal && { signal: how.signal }),
  });
  const link = new QemuLink(running, { paths, log: context.log, poweredOff: () => context.poweredOff(vm) });
  undo.push(`end QEMU (process ${running.process.pid})`, async () => {
    vm.link = undefined;
    link.close();
    await killQemu(running.process);
  });
  await link.refresh();
  vm.link = link;
  vm.reservation = false; // from here on its QEMU stands for it
}

/** Runs a VM that was powered on and has not run yet. */
export async function runFirst(vm: Vm): Promise<void> {
  await cont(vm.monitor);
  await vm.link?.refresh();
}

/**
 * Presses the power button and waits until the guest has powered off.
 * @returns false where it has not within `deadlineMs`, or `signal` aborted
 */
export async function askToPowerOff(vm: Vm, deadlineMs: number, signal: AbortSignal): Promise<boolean> {
  const { link } = vm;
  if (!link) return true;
  await powerdown(vm.monitor);
  const deadline = performance.now() + deadlineMs;
  while (!signal.aborted && performance.now() < deadline) {
    if (link.gone || link.runState === 'shutdown') return true;
    await sleep(50);
  }
  return false;
}

/**
 * Ends QEMU and removes what it had of the host. Idempotent. The guest's power is cut.
 * @param how `quit` lets QEMU end by itself and kills it if it does not; `kill` does not ask
 * @throws HypervisorError `unkillable` where the kernel does not end it; nothing is removed then, for it may still write
 */
export async function powerOff(vm: Vm, how: 'quit' | 'kill', log: Logger): Promise<void> {
  const { link, paths } = vm;
  const qemu = link?.process ?? (await findQemu(paths.pidfile, paths.qmpSocket));
  if (qemu && (await isAlive(qemu))) {
    const monitor = link?.monitor;
    if (how === 'quit' && monitor) {
      try {
        await quit(monitor, { deadlineMs: quitDeadlineMs });
        await untilGone(qemu, { deadlineMs: quitDeadlineMs });
      } catch (error) {
        log.warn({ err: error, vm: vm.name }, 'QEMU does not quit; killing it');
      }
    }
    await killQemu(qemu);
  }
  await link?.exited; // so that whoever waits for it hears of it before the VM is gone
  link?.close();
  vm.link = undefined;
  await removeHostResources(vm);
}

/** Taps and run files of a VM that has no QEMU. */
export async function removeHostResources(vm: Vm): Promise<void> {
  for (const index of vm.definition.nics.keys()) await removeTap(tapName(vm.name, index));
  await rm(vm.paths.runDirectory, { recursive: true, force: true });
}

/** The end of what QEMU said, for messages and logs; empty where there is nothing. */
export async function lastWords(vm: Vm): Promise<string> {
  const text = await readFile(vm.paths.qemuLog, 'utf8').catch(() => '');
  return text.trim().split('\n').slice(-3).join(' | ').slice(-500);
}
