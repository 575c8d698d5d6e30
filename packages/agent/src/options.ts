/** What the command line says, checked as far as that goes without touching the host. */

import { isIP, isIPv6 } from 'node:net';
import { availableParallelism } from 'node:os';
import { isAbsolute, join, normalize } from 'node:path';
import { Name } from '@sealift/contract';
import { Check } from 'typebox/value';
import { CannotStart } from './cannot-start.ts';
import type { PoolSetup } from './disks/pools.ts';
import type { Adoption } from './observe/adopted.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  /** As the API writes it: `host:port`, IPv6 in brackets. */
  readonly endpoint: string;
}

export interface AgentOptions {
  readonly name: string;
  readonly state: string;
  readonly run: string;
  readonly listen: ListenAddress;
  readonly migrationListen: readonly ListenAddress[];
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly accel: 'auto' | 'kvm' | 'tcg';
  /** For all VMs together; undefined: what the host has available. */
  readonly memoryMiB: number | undefined;
  readonly qemu: string;
  readonly threads: number;
  /** A host that must not seal, or cannot. */
  readonly noSeal?: boolean;
  /** QEMUs of somebody else's to look at. */
  readonly adopt?: readonly Adoption[];
  /** Where disks are made; without any, {@link defaultPool} of {@link state}. */
  readonly pools?: readonly PoolSetup[];
  /** Where the secrets of migrations are written for debugging; undefined: nowhere. */
  readonly keylog?: { readonly file: string; readonly fd: number };
  /** Where a test says at which stages migrations are held; undefined: nowhere. */
  readonly breakpoints?: string | undefined;
}

/** As commander hands it over. */
export interface RawOptions {
  readonly name: string;
  readonly state: string;
  readonly run: string;
  readonly listen: string;
  readonly migrationListen: readonly string[];
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly accel: string;
  readonly memory?: string;
  readonly qemu: string;
  readonly threads?: string;
  readonly unsafe?: boolean;
  /** false with `--no-seal` */
  readonly seal?: boolean;
  readonly adopt?: readonly string[];
  readonly pool?: readonly string[];
}

/** The pool of an agent that was told of none. */
export const defaultPool = (state: string): PoolSetup => ({ name: 'default', path: join(state, 'pools/default') });

/** @throws CannotStart naming the option */
export function checkOptions(raw: RawOptions): AgentOptions {
  if (!Check(Name, raw.name)) {
    throw new CannotStart(`--name ${raw.name}: a host's name is a DNS label: lower-case letters, digits and hyphens, at most 63`);
  }
  for (const [option, path] of Object.entries({ state: raw.state, run: raw.run })) {
    if (!isAbsolute(path)) throw new CannotStart(`--${option} ${path}: give an absolute path; QEMU does not run in the agent's directory`);
  }
  if (raw.accel !== 'auto' && raw.accel !== 'kvm' && raw.accel !== 'tcg')
    throw new CannotStart(`--accel ${raw.accel}: it is auto, kvm or tcg`);
  const migrationListen = raw.migrationListen.map((text) => addressOf('--migration-listen', text));
  for (const { host, endpoint } of migrationListen) {
    if (host === '0.0.0.0' || host === '::') {
      throw new CannotStart(`--migration-listen ${endpoint}: name an address that the other hosts reach, once for each network`);
    }
  }
  return {
    name: raw.name,
    state: raw.state,
    run: raw.run,
    listen: addressOf('--listen', raw.listen),
    migrationListen,
    cert: raw.cert,
    key: raw.key,
    ca: raw.ca,
    accel: raw.accel,
    memoryMiB: raw.memory === undefined ? undefined : countOf('--memory', raw.memory, 2 ** 30),
    qemu: raw.qemu,
    threads: raw.threads === undefined ? availableParallelism() : countOf('--threads', raw.threads, 1024),
    noSeal: raw.seal === false,
    adopt: adoptionsOf(raw.adopt ?? [], raw.run),
    pools: poolsOf(raw.pool ?? []),
  };
}

function poolsOf(texts: readonly string[]): PoolSetup[] {
  const pools: PoolSetup[] = [];
  for (const text of texts) {
    const equals = text.indexOf('=');
    const [name, path] = [text.slice(0, Math.max(0, equals)), normalize(text.slice(equals + 1)).replace(/(.)\/$/, '$1')];
    if (!Check(Name, name) || !isAbsolute(path)) {
      throw new CannotStart(`--pool ${text}: give a name, a DNS label, and the absolute path of a directory, such as fast=/srv/vms`);
    }
    if (pools.some((other) => other.name === name || other.path === path)) {
      throw new CannotStart(`--pool ${text}: another --pool has the same name or directory`);
    }
    pools.push({ name, path });
  }
  return pools;
}

function adoptionsOf(texts: readonly string[], run: string): Adoption[] {
  const adoptions: Adoption[] = [];
  for (const text of texts) {
    const equals = text.indexOf('=');
    const [name, socket] = [text.slice(0, Math.max(0, equals)), text.slice(equals + 1)];
    if (!Check(Name, name) || !isAbsolute(socket)) {
      throw new CannotStart(
        `--adopt ${text}: give a name, a DNS label, and the absolute path of a QMP socket, such as db=/run/db/qmp.sock`,
      );
    }
    if (`${normalize(socket)}/`.startsWith(`${normalize(run)}/`)) {
      throw new CannotStart(`--adopt ${text}: the socket is in the agent's own run directory; its VMs need no adopting`);
    }
    if (adoptions.some((other) => other.name === name || other.socket === socket)) {
      throw new CannotStart(`--adopt ${text}: another --adopt has the same name or socket`);
    }
    adoptions.push({ name, socket });
  }
  return adoptions;
}

/** @throws CannotStart unless it is an IP address and a port, IPv6 in brackets */
export function addressOf(option: string, text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  const port = Number(digits);
  if ((bracketed ? !isIPv6(host) : isIP(host) !== 4) || !(port >= 1 && port <= 65535)) {
    throw new CannotStart(`${option} ${text}: give an IP address and a port, such as 192.0.2.10:8652 or [2001:db8::10]:8652`);
  }
  return { host, port, endpoint: text };
}

const countOf = (option: string, text: string, most: number): number => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > most) throw new CannotStart(`${option} ${text}: give a whole number from 1 to ${most}`);
  return value;
};
