/** What the installed QEMU can do, asked of QEMU itself: a short-lived one without a machine. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Duplex } from 'node:stream';
import { HypervisorError } from './error.ts';
import { QmpClient } from './qmp/client.ts';
import type { QemuVersion } from './qmp/codec.ts';
import { QmpError } from './qmp/error.ts';

/** The oldest version that was tried: Debian 12's.  */
export const OLDEST_QEMU = { major: 7, minor: 2 } as const;

export type Accelerator = 'kvm' | 'tcg';

export interface QemuCapabilities {
  readonly version: QemuVersion;
  /** `7.2.22` */
  readonly versionText: string;
  /** Versioned machine types, such as `pc-q35-7.2`; aliases are left out. */
  readonly machines: readonly string[];
  /** What it was built with; whether KVM works here is {@link chooseAccelerator}'s to say. */
  readonly accelerators: readonly Accelerator[];
  /** Migration capabilities it knows, such as `multifd`. */
  readonly migration: readonly string[];
  readonly cpuModels: readonly string[];
  /** Of the models that this host cannot give in full, with the accelerator that was asked with: the features that are missing. */
  readonly missingCpuFeatures: ReadonlyMap<string, readonly string[]>;
}

const VERSIONED = /-[a-z]*\d+(\.\d+)+$/;

/**
 * Runs QEMU for some 50 ms.
 * @param binary looked up in PATH unless it has a slash
 * @param options `accel`: what CPU models are asked about, for KVM gives what the host's CPU has and TCG what it imitates
 * @throws HypervisorError `missing`, `too-old`, `start`
 */
export async function probeQemu(
  binary = 'qemu-system-x86_64',
  options: { deadlineMs?: number; signal?: AbortSignal; accel?: Accelerator } = {},
): Promise<QemuCapabilities> {
  const { accel = 'tcg' } = options;
  const argv = ['-M', 'none', '-nodefaults', '-no-user-config', '-display', 'none', '-S', '-accel', accel, '-qmp', 'stdio'];
  const child = spawn(binary, argv, { stdio: ['pipe', 'pipe', 'pipe'] });
  const failed = new Promise<HypervisorError>((resolve) => {
    child.once('error', (cause) => {
      const missing = 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'EACCES');
      const advice = missing ? '; install the package qemu-system-x86 or name the program with --qemu' : '';
      resolve(new HypervisorError(missing ? 'missing' : 'start', `QEMU cannot be run as ${binary}: ${cause.message}${advice}`, { cause }));
    });
  });
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => {
    said = (said + bytes.toString()).slice(-2000);
  });
  const stream = Duplex.from({ writable: child.stdin, readable: child.stdout });
  try {
    return await Promise.race([interview(stream, binary, options), failed.then((error) => Promise.reject(error))]);
  } catch (cause) {
    if (cause instanceof QmpError && cause.code !== 'aborted') {
      throw new HypervisorError('start', `${binary} does not answer as QEMU does: ${cause.message}${said && `; it said: ${said.trim()}`}`, {
        cause,
      });
    }
    throw cause;
  } finally {
    child.kill('SIGKILL');
  }
}

async function interview(
  stream: Duplex,
  binary: string,
  options: { deadlineMs?: number; signal?: AbortSignal },
): Promise<QemuCapabilities> {
  const monitor = await QmpClient.over(stream, binary, options);
  try {
    const { version } = monitor;
    const versionText = `${version.major}.${version.minor}.${version.micro}`;
    if (version.major < OLDEST_QEMU.major || (version.major === OLDEST_QEMU.major && version.minor < OLDEST_QEMU.minor)) {
      throw new HypervisorError(
        'too-old',
        `${binary} is QEMU ${versionText}; sealift needs ${OLDEST_QEMU.major}.${OLDEST_QEMU.minor} or later: update QEMU or name another with --qemu`,
      );
    }
    const [machines, accelerators, migration, cpus] = await Promise.all([
      monitor.execute('query-machines', undefined, options),
      monitor.execute('qom-list-types', { implements: 'accel', abstract: false }, options),
      monitor.execute('query-migrate-capabilities', undefined, options),
      monitor.execute('query-cpu-definitions', undefined, options),
    ]);
    const built = accelerators.map(({ name }) => name);
    return {
      version,
      versionText,
      machines: machines
        .map(({ name }) => name)
        .filter((name) => VERSIONED.test(name))
        .sort(),
      accelerators: (['kvm', 'tcg'] as const).filter((name) => built.includes(`${name}-accel`)),
      migration: migration.map(({ capability }) => capability).sort(),
      cpuModels: cpus.map(({ name }) => name).sort(),
      missingCpuFeatures: new Map(
        cpus.flatMap(({ name, 'unavailable-features': missing = [] }) => (missing.length > 0 ? [[name, missing] as const] : [])),
      ),
    };
  } finally {
    monitor.close();
  }
}

/** What the host says of KVM. */
export interface KvmFacts {
  /** /proc/cpuinfo has `vmx` or `svm`. Without them /dev/kvm may open all the same, and guests hang. */
  readonly cpuFlag: boolean;
  /** Why /dev/kvm does not open; absent where it does. */
  readonly problem?: string;
}

export async function readKvmFacts(): Promise<KvmFacts> {
  const cpuFlag = hasVirtualisationFlag(await readFile('/proc/cpuinfo', 'utf8'));
  try {
    closeSync(openSync('/dev/kvm', 'r+'));
    return { cpuFlag };
  } catch (error) {
    return { cpuFlag, problem: error instanceof Error ? error.message : String(error) };
  }
}

export const hasVirtualisationFlag = (cpuinfo: string): boolean => /^flags\s*:.*\b(vmx|svm)\b/m.test(cpuinfo);

/**
 * `auto` takes KVM only where it can work, else TCG.
 * @throws HypervisorError `accelerator` where what was asked for by name cannot work, with the reason
 */
export function chooseAccelerator(wish: 'auto' | Accelerator, built: readonly Accelerator[], kvm: KvmFacts): Accelerator {
  const obstacle = !built.includes('kvm')
    ? 'this QEMU is built without it'
    : !kvm.cpuFlag
      ? 'the CPU has neither the flag vmx nor svm'
      : kvm.problem !== undefined
        ? `/dev/kvm does not open: ${kvm.problem}`
        : undefined;
  if (wish !== 'tcg' && obstacle === undefined) return 'kvm';
  if (wish === 'kvm') throw new HypervisorError('accelerator', `KVM does not work here: ${obstacle}; choose --accel tcg or auto`);
  if (!built.includes('tcg'))
    throw new HypervisorError(
      'accelerator',
      `this QEMU is built without TCG${obstacle ? `, and KVM does not work here: ${obstacle}` : ''}`,
    );
  return 'tcg';
}
