/** Where the manager is: `unix:/path/manager.sock` or `http://127.0.0.1:8650`. */
import { existsSync } from 'node:fs';
import { UsageError } from '../exit-codes.ts';

export type ManagerAddress = { readonly kind: 'unix'; readonly path: string } | { readonly kind: 'http'; readonly origin: string };

const defaultSocket = '/run/sealift/manager.sock';
const defaultOrigin = 'http://127.0.0.1:8650';

/** @throws UsageError where it is neither of the two forms */
export function parseAddress(text: string): ManagerAddress {
  if (text.startsWith('unix:/')) return { kind: 'unix', path: text.slice('unix:'.length) };
  const url = URL.parse(text);
  if (url && (url.protocol === 'http:' || url.protocol === 'https:') && url.pathname === '/' && url.search === '' && !url.username) {
    return { kind: 'http', origin: url.origin };
  }
  throw new UsageError(`"${text}" is no address of a manager; write unix:/path/manager.sock or http://127.0.0.1:8650`);
}

/** From --manager, else $SEALIFT_MANAGER, else the usual socket where there is one, else the usual port of this machine. */
export function findManager(option: string | undefined, environment: string | undefined): ManagerAddress {
  const said = option ?? (environment || undefined);
  if (said !== undefined) return parseAddress(said);
  return existsSync(defaultSocket) ? { kind: 'unix', path: defaultSocket } : { kind: 'http', origin: defaultOrigin };
}

/** The address of a WebSocket on the manager, as `ws` takes it. */
export const socketUrl = (address: ManagerAddress, path: string): string =>
  address.kind === 'unix' ? `ws+unix:${address.path}:${path}` : address.origin.replace(/^http/, 'ws') + path;

/** As it is written on a command line. */
export const nameOf = (address: ManagerAddress): string => (address.kind === 'unix' ? `unix:${address.path}` : address.origin);
