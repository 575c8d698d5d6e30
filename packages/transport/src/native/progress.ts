/** How a TCP connection fares, as the kernel sees it. */
import { libc } from './libc.ts';
import { allocate, type Memory } from './memory.ts';

const IPPROTO_TCP = 6;
const TCP_INFO = 11;

/** What the kernel knows of a connection's way to the peer. */
export interface TcpProgress {
  /** Segments that were sent and not acknowledged. */
  readonly unacknowledged: number;
  /** Bytes that the peer takes at the moment. 0: it takes none, and is asked again by probes. */
  readonly window: number;
  /** Payload of a full segment. */
  readonly segmentBytes: number;
  /** Bytes that were never sent yet. */
  readonly unsentBytes: number;
  /** Window probes since anything was heard of the peer. */
  readonly probes: number;
  /** Bytes, since the connection was made. */
  readonly acknowledged: number;
  /** Milliseconds since the last acknowledgement, of something new or not. */
  readonly lastHeardMs: number;
  /** Smoothed round trip, microseconds: of the handshake, to begin with. */
  readonly roundTripMicros: number;
  /** How far apart the kernel's tries are by now, milliseconds, of sending again or of probing the window: up to two minutes. */
  readonly triesMs: number;
}

let infoOfThread: Memory | undefined;

/** @returns `undefined` where it is not a TCP connection */
export function tcpProgress(fd: number): TcpProgress | undefined {
  infoOfThread ??= allocate(8 + tcpInfo.bytes);
  const { address, bytes } = infoOfThread;
  const view = new DataView(bytes.buffer);
  view.setUint32(0, tcpInfo.bytes, true);
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, address + 8, address) !== 0) return undefined;
  const word = (at: number) => view.getUint32(8 + at, true);
  const unacknowledged = word(tcpInfo.unacked);
  // What is sent again has it doubled already, linux/tcp_timer.c.
  const doublings = unacknowledged > 0 ? 0 : view.getUint8(8 + tcpInfo.backoff);
  return {
    unacknowledged,
    // From Linux 5.4.
    window: view.getUint32(0, true) < tcpInfo.bytes ? 1 : word(tcpInfo.sndWnd),
    segmentBytes: word(tcpInfo.sndMss),
    unsentBytes: word(tcpInfo.notSent),
    probes: view.getUint8(8 + tcpInfo.probes),
    acknowledged: Number(view.getBigUint64(8 + tcpInfo.bytesAcked, true)),
    lastHeardMs: word(tcpInfo.lastAckRecv),
    roundTripMicros: word(tcpInfo.rtt),
    triesMs: Math.min(longestTryMs, (word(tcpInfo.rto) / 1000) * 2 ** doublings),
  };
}

/** Offsets in struct tcp_info, linux/tcp.h; it is only ever added to at its end. */
const tcpInfo = {
  probes: 3,
  backoff: 4,
  rto: 8,
  sndMss: 16,
  unacked: 24,
  rtt: 68,
  lastAckRecv: 56,
  bytesAcked: 120,
  notSent: 144,
  sndWnd: 228,
  bytes: 232,
} as const;

/** TCP_RTO_MAX. */
const longestTryMs = 120_000;
