/**
 * What a connection needs on a line whose round trip is long. The kernel keeps what was sent until it is acknowledged, in a buffer that grows to 4 MiB
 * at most where nobody has raised net.ipv4.tcp_wmem: one connection then carries 220 Mb/s at 150 ms, whatever the line does. And cubic, the usual
 * congestion control, takes each lost segment for a full line: at 150 ms and 0.1 % loss it carries 5 Mb/s where bbr carries 930 (docs/wan.md).
 * Short lines stay as they are: there, buffers that stay in the processor's cache are worth more.
 */

import { tunables } from '../tunables.ts';
import { libc } from './libc.ts';
import { allocate, type Memory } from './memory.ts';
import { tcpProgress } from './progress.ts';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;
const IPPROTO_TCP = 6;
const TCP_CONGESTION = 13;
const bbr = Buffer.from('bbr', 'latin1');

let scratchOfThread: Memory | undefined;

/** Nothing that fails here is an error: the connection works all the same, and as fast as the kernel's own settings let it. */
export function fitToLine(fd: number): void {
  const micros = tcpProgress(fd)?.roundTripMicros ?? 0;
  if (micros < tunables.longLineMicros) return;
  scratchOfThread ??= allocate(8);
  const { address, bytes } = scratchOfThread;
  const set = (level: number, option: number, length: number): boolean => libc.setsockopt(fd, level, option, address, length) === 0;
  // The kernel doubles it for its own bookkeeping.
  const wanted = Math.min(tunables.maxSendBuffer, Math.ceil((micros / 1e6) * tunables.longLineBytesPerSecond));
  new DataView(bytes.buffer).setInt32(0, wanted, true);
  // The first one goes beyond net.core.wmem_max, and is root's.
  if (!set(SOL_SOCKET, SO_SNDBUFFORCE, 4)) set(SOL_SOCKET, SO_SNDBUF, 4);
  bytes.set(bbr);
  set(IPPROTO_TCP, TCP_CONGESTION, bbr.length);
}
