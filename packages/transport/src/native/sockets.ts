/** Non-blocking sockets by number. Whoever gets a descriptor closes it. */
import { chmodSync } from 'node:fs';
import net from 'node:net';
import { TransportError } from '../errors.ts';
import { tunables } from '../tunables.ts';
import type { Address } from '../worker/messages.ts';
import { own } from './descriptors.ts';
import { boundFarewell } from './farewell.ts';
import { AF, E, errno, libc, SOCK } from './libc.ts';
import { fitToLine } from './long-line.ts';
import { allocate, type Memory, nameOf } from './memory.ts';

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_SYNCNT = 7;
const TCP_NOTSENT_LOWAT = 25;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const pathBytes = 108;

let scratchOfThread: Memory | undefined;
const scratch = (): Memory => {
  scratchOfThread ??= allocate(256);
  return scratchOfThread;
};

/** `[::1]:8651` and `127.0.0.1:8651`. */
export const formatAddress = ({ host, port }: Address): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/** @throws TransportError `local` where it is not a numeric address and a port */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (net.isIP(host) === 0 || port > 65535) throw new TransportError('local', `${text} is not a numeric address and a port`);
  return { host, port };
}

/** @throws TransportError `local` with the reason, such as EADDRINUSE */
export function listenTcp(address: Address): number {
  const fd = open(net.isIPv6(address.host) ? AF.INET6 : AF.INET);
  try {
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (net.isIPv6(address.host)) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    // What is accepted inherits it.
    boundFarewell(fd);
    setOption(fd, IPPROTO_TCP, TCP_SYNCNT, tunables.synAckRepeats);
    const length = writeAddress(address);
    check(libc.bind(fd, scratch().address, length), `binding ${formatAddress(address)}`);
    check(libc.listen(fd, 1024), `listening on ${formatAddress(address)}`);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** Where a listening socket was really bound: port 0 has become one. */
export function boundAddress(fd: number, asked: Address): Address {
  const { address, bytes } = scratch();
  const view = new DataView(bytes.buffer);
  view.setUint32(128, 128, true);
  check(libc.getsockname(fd, address, address + 128), 'getsockname');
  return { host: asked.host, port: view.getUint16(2) };
}

/** Begins to connect. The socket is writable once that has ended; {@link connectError} says how. */
export function startConnect(address: Address): number {
  const fd = open(net.isIPv6(address.host) ? AF.INET6 : AF.INET);
  boundFarewell(fd);
  const length = writeAddress(address);
  if (libc.connect(fd, scratch().address, length) !== 0 && errno() !== E.INPROGRESS) {
    const code = errno();
    libc.close(fd);
    throw new TransportError('hello', `connecting to ${formatAddress(address)}: ${nameOf(code)}`);
  }
  return fd;
}

/** @returns 0, or the errno that connecting ended with */
export function connectError(fd: number): number {
  const { address, bytes } = scratch();
  const view = new DataView(bytes.buffer);
  view.setUint32(128, 4, true);
  if (libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, address, address + 128) !== 0) return errno();
  return view.getInt32(0, true);
}

/** What every TCP connection of a channel is set to, once it is one. */
export function tuneTcp(fd: number): void {
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  setOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, tunables.notSentLowWater);
  fitToLine(fd);
}

/**
 * Mode 0600 from before anybody can connect.
 *
 * @throws TransportError `local`; a path that is in use already is one reason
 */
export function listenUnix(path: string, backlog: number): number {
  const fd = open(AF.UNIX);
  try {
    check(libc.bind(fd, scratch().address, writePath(path)), `binding ${path}`);
    chmodSync(path, 0o600);
    check(libc.listen(fd, backlog), `listening on ${path}`);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** @returns the connected socket, or `undefined` where the listener's queue is full for the moment. @throws TransportError `local` */
export function connectUnix(path: string): number | undefined {
  const fd = open(AF.UNIX);
  if (libc.connect(fd, scratch().address, writePath(path)) === 0) return fd;
  const code = errno();
  libc.close(fd);
  if (code === E.AGAIN) return undefined;
  throw new TransportError('local', `connecting to ${path}: ${nameOf(code)}`);
}

/** What {@link accept} answers when there is nobody. */
const nobody = -1;
/** What it answers when somebody waits for whom this process or host has no descriptor or memory left. */
export const exhausted = -2;

/** @returns a connection's descriptor, -1 where nobody waits, or {@link exhausted} */
export function accept(fd: number): number {
  const accepted = own(libc.accept4(fd, 0, 0, SOCK.NONBLOCK | SOCK.CLOEXEC));
  if (accepted >= 0) return accepted;
  const code = errno();
  return code === E.MFILE || code === E.NFILE || code === E.NOBUFS || code === E.NOMEM ? exhausted : nobody;
}

function open(family: number): number {
  const fd = own(libc.socket(family, SOCK.STREAM | SOCK.NONBLOCK | SOCK.CLOEXEC, 0));
  check(fd, 'socket');
  return fd;
}

function setOption(fd: number, level: number, name: number, value: number): void {
  const { address, bytes } = scratch();
  new DataView(bytes.buffer).setInt32(128, value, true);
  check(libc.setsockopt(fd, level, name, address + 128, 4), `setsockopt ${level}/${name}`);
}

/** A struct sockaddr_in or sockaddr_in6 at the scratch's start. @returns its length */
function writeAddress({ host, port }: Address): number {
  const { bytes } = scratch();
  const view = new DataView(bytes.buffer);
  bytes.fill(0, 0, 28);
  view.setUint16(2, port);
  if (net.isIPv4(host)) {
    view.setUint16(0, AF.INET, true);
    bytes.set(host.split('.').map(Number), 4);
    return 16;
  }
  view.setUint16(0, AF.INET6, true);
  groupsOf(host).forEach((group, i) => {
    view.setUint16(8 + 2 * i, group);
  });
  return 28;
}

/** The eight groups of a valid IPv6 address without a zone. */
function groupsOf(host: string): number[] {
  const expand = (part: string): number[] =>
    part === ''
      ? []
      : part.split(':').flatMap((group) => {
          if (!group.includes('.')) return [Number.parseInt(group, 16)];
          const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
          return [a * 256 + b, c * 256 + d];
        });
  const [head = '', tail] = host.split('::');
  const left = expand(head);
  const right = expand(tail ?? '');
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

/** A struct sockaddr_un. @returns its length */
function writePath(path: string): number {
  const name = Buffer.from(path);
  if (name.length >= pathBytes) throw new TransportError('local', `the path of a unix socket has at most ${pathBytes - 1} bytes: ${path}`);
  const { bytes } = scratch();
  bytes.fill(0, 0, 2 + pathBytes);
  new DataView(bytes.buffer).setUint16(0, AF.UNIX, true);
  bytes.set(name, 2);
  return 2 + name.length + 1;
}

function check(result: number, doing: string): void {
  if (result < 0) throw new TransportError('local', `${doing}: ${nameOf(errno())}`);
}
