/**
 * Keeps web pages away from the API on loopback TCP, which has no sign-in: a browser on this machine can reach it, so a page could
 * order migrations by a forged request (its Origin gives it away) or by rebinding its own name to 127.0.0.1 (the Host header does).
 */
import { BlockList, isIP } from 'node:net';
import { SealiftError } from '@sealift/contract';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether an address, or the name `localhost`, stays on this machine. IPv6 addresses may stand in brackets. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(bare);
  if (family === 0) return bare.toLowerCase() === 'localhost';
  return loopback.check(bare, family === 4 ? 'ipv4' : 'ipv6');
}

/** @throws SealiftError not_authorised */
export function checkOrigin(headers: { readonly host?: string | undefined; readonly origin?: string | undefined }): void {
  const host = headers.host ?? '';
  if (!isLoopback(host.replace(/:[0-9]+$/, ''))) {
    throw new SealiftError('not_authorised', `the Host header ${JSON.stringify(host)} is not a name of this machine's loopback`);
  }
  // A page served from this very origin may ask; that will be the web UI.
  if (headers.origin !== undefined && headers.origin !== `http://${host}`) {
    throw new SealiftError('not_authorised', `requests of web pages from ${headers.origin} are refused`);
  }
}
