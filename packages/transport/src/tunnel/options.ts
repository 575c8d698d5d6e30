/** The command line of a tunnel, checked. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import type { Suite } from '../constants.ts';
import type { Address } from '../worker/messages.ts';
import { reasonOf, TunnelError } from './error.ts';
import type { TunnelSpec } from './spec.ts';

/** `sun_path` of Linux is 108 bytes with its final zero. */
const maxSocketPath = 107;

/** @throws TunnelError `usage` */
export function socketPath(path: string): string {
  const absolute = resolve(path);
  if (path === '' || Buffer.byteLength(absolute) > maxSocketPath) {
    throw new TunnelError('usage', `"${absolute}" is no path for a unix socket: Linux takes 1 to ${maxSocketPath} bytes`);
  }
  return absolute;
}

/**
 * `192.0.2.10:8651`, `[2001:db8::1]:8651`, `host.example:8651`.
 *
 * @throws TunnelError `usage`; `unavailable` where the name is not known
 */
export async function addressOf(text: string): Promise<Address> {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (!match || port > 65535) throw new TunnelError('usage', `"${text}" is not HOST:PORT; an IPv6 address stands in brackets`);
  if (isIP(host) !== 0) return { host, port };
  try {
    return { host: (await lookup(host)).address, port };
  } catch (error) {
    throw new TunnelError('unavailable', `the name ${host} is not known here: ${reasonOf(error)}`, error);
  }
}

/**
 * @param suite what this end was told beside the spec
 * @throws TunnelError `usage` where the spec is of another suite, or has expired
 */
export function checkSpec({ attempt }: TunnelSpec, suite: Suite): void {
  if (attempt.suite !== suite) {
    const why =
      attempt.suite === 'none'
        ? 'the spec is for a tunnel in the clear, neither encrypted nor protected from change; where that is meant, add --suite none'
        : `the spec is of suite ${attempt.suite}, and --suite says ${suite}`;
    throw new TunnelError('usage', why);
  }
  if (attempt.expiresAt <= Date.now()) {
    throw new TunnelError('usage', `the spec expired at ${new Date(attempt.expiresAt).toISOString()}: make a new one`);
  }
}
