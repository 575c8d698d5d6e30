/** How long the kernel keeps a TCP connection that nobody has open any more: docs/adr/0011. */
import { tunables } from '../tunables.ts';
import { libc } from './libc.ts';
import { allocate, type Memory } from './memory.ts';
import { type TcpProgress, tcpProgress } from './progress.ts';

const SOL_SOCKET = 1;
const SO_LINGER = 13;
const IPPROTO_TCP = 6;
const TCP_LINGER2 = 8;
const TCP_USER_TIMEOUT = 18;

let scratchOfThread: Memory | undefined;

/**
 * A connection of a channel is open from here on: the kernel is not to end it by itself, though the peer take nothing for now (docs/adr/0007).
 * Until then, and once it has been {@link abandon}ed, it gives up after {@link tunables.stallMs}.
 */
export const keep = (fd: number): void => giveUpAfter(fd, 0);

/**
 * Before closing: what the kernel has still to send is thrown away after {@link tunables.stallMs}, if the peer's host does not take it until then.
 * It looks only when it tries again; where that may be later, it throws it away at once, and the connection is reset.
 *
 * @param needed whether the peer must have it, however long its reader pauses: then nothing is thrown away but where its host has room for all
 *   of it, so that only a line that carries nothing keeps it from arriving
 */
export function abandon(fd: number, needed: boolean): void {
  const progress = tcpProgress(fd);
  if (needed && !hasRoom(progress)) return;
  giveUpAfter(fd, tunables.stallMs);
  if (!needed && progress && isWaiting(progress) && progress.triesMs > tunables.stallMs) resetAtClose(fd);
}

const isWaiting = ({ unacknowledged, unsentBytes }: TcpProgress): boolean => unacknowledged + unsentBytes > 0;

/** More than is on its way by the bytes of full segments; less never. */
const hasRoom = (progress: TcpProgress | undefined): boolean =>
  progress !== undefined && progress.unacknowledged * progress.segmentBytes + progress.unsentBytes <= progress.window;

/**
 * What a connection has from the start, so that one that is closed before it is {@link keep}t leaves the kernel soon as well, and a kept one too
 * once only the peer's FIN is missing. What is accepted inherits it from the listening socket.
 */
export function boundFarewell(fd: number): void {
  giveUpAfter(fd, tunables.stallMs);
  set(fd, IPPROTO_TCP, TCP_LINGER2, tunables.finSeconds);
}

/** A struct linger: on, and for no time at all. */
const resetAtClose = (fd: number): void => set(fd, SOL_SOCKET, SO_LINGER, 1, 0);

/** 0: when the kernel likes, which is after about a quarter of an hour, or 100 s where nobody has the connection open any more. */
const giveUpAfter = (fd: number, ms: number): void => set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms);

/** Where it fails, as with a socket that is not TCP, the kernel gives up later by itself. */
function set(fd: number, level: number, name: number, ...words: readonly number[]): void {
  scratchOfThread ??= allocate(8);
  const { address, bytes } = scratchOfThread;
  const view = new DataView(bytes.buffer);
  words.forEach((word, i) => {
    view.setInt32(4 * i, word, true);
  });
  libc.setsockopt(fd, level, name, address, 4 * words.length);
}
