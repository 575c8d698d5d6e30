/** Taps and bridges of the host, by way of iproute2. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type Nic, SealiftError } from '@sealift/contract';
import type { Static } from 'typebox';

const run = promisify(execFile);
const interfaces = '/sys/class/net';

/** The tap of a VM's nth NIC. Interfaces have at most 15 characters and VMs 63, hence a hash: 48 bits tell a host's VMs apart. */
export const tapName = (vm: string, index: number): string => `sl${createHash('sha256').update(vm).digest('hex').slice(0, 10)}-${index}`;

/** Names of the host's bridges (of this network namespace), sorted. */
export async function bridges(): Promise<string[]> {
  const names = await readdir(interfaces);
  const found = await Promise.all(names.map(async (name) => ((await exists(`${interfaces}/${name}/bridge`)) ? [name] : [])));
  return found.flat().sort();
}

/** Marks a tap as one agent's, so that another's of this host is told apart: its alias, of which Linux takes 255 characters. */
const markOf = (owner: string): string => `sealift:${owner}`;

/** Names of the taps that {@link createTap} made for this owner. */
export async function tapsOf(owner: string): Promise<string[]> {
  const mine = async (name: string): Promise<boolean> =>
    /^sl[0-9a-f]{10}-\d+$/.test(name) && (await readFile(`${interfaces}/${name}/ifalias`, 'utf8').catch(() => '')).trim() === markOf(owner);
  const names = await readdir(interfaces);
  const found = await Promise.all(names.map(async (name) => ((await mine(name)) ? [name] : [])));
  return found.flat().sort();
}

/**
 * Makes a tap that QEMU can open, up and on the NIC's bridge. One of the same name is a leftover and replaced: make sure that no QEMU has it.
 * @param owner the run directory of the agent that it belongs to
 * @throws SealiftError `no_room` where the bridge is missing or the tap cannot be made; nothing of it stays
 */
export async function createTap(name: string, nic: Static<typeof Nic>, owner: string): Promise<void> {
  if (!(await exists(`${interfaces}/${nic.bridge}/bridge`))) {
    const there = await bridges();
    throw new SealiftError(
      'no_room',
      `this host has no bridge ${nic.bridge}; ${there.length > 0 ? `it has ${there.join(', ')}` : 'it has none'}`,
      { details: { bridge: nic.bridge } },
    );
  }
  const mtu = (await readFile(`${interfaces}/${nic.bridge}/mtu`, 'utf8')).trim();
  await removeTap(name);
  try {
    await ip('tuntap', 'add', 'dev', name, 'mode', 'tap');
    await ip('link', 'set', 'dev', name, 'alias', markOf(owner));
    // A bridge without an address of its own takes the lowest of its ports': a high one keeps it as it is. No IPv6 address of the host's on the guest's
    // wire, and the bridge's MTU, which a smaller port would pull down for everyone.
    await ip('link', 'set', 'dev', name, 'address', `fe${nic.mac.slice(2)}`, 'addrgenmode', 'none', 'mtu', mtu);
    await ip('link', 'set', 'dev', name, 'up', 'master', nic.bridge);
  } catch (error) {
    await removeTap(name);
    throw new SealiftError('no_room', `the tap ${name} on the bridge ${nic.bridge} cannot be made: ${said(error)}`, { cause: error });
  }
}

/** Nothing happens where there is none. */
export async function removeTap(name: string): Promise<void> {
  if (!(await exists(`${interfaces}/${name}`))) return;
  try {
    await ip('link', 'delete', 'dev', name);
  } catch (error) {
    if (await exists(`${interfaces}/${name}`))
      throw new SealiftError('internal', `the tap ${name} cannot be removed: ${said(error)}`, { cause: error });
  }
}

const ip = (...args: string[]) => run('ip', args, { timeout: 10_000 });

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const said = (error: unknown): string =>
  error instanceof Error && 'stderr' in error && String(error.stderr).trim() !== '' ? String(error.stderr).trim() : String(error);
