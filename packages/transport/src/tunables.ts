/** What an implementation may choose. Each value carries its derivation. */

export const tunables = {
  /** Before authentication a connection may take this long in all: a hello is two flights, and 5 s is 30 round trips at 150 ms. */
  helloMs: 5_000,
  /** Connections that have not proven themselves, at most; one is a few hundred bytes, so this bounds memory at well below 1 MiB. */
  maxPending: 256,
  /** The source goes on trying to open its channels for this long: longer than a destination's eviction round and a lost SYN or three. */
  connectMs: 15_000,
  /** Between two tries of one channel. */
  retryMs: 100,
  /** A PING each way on channel 0. */
  pingMs: 1_000,
  /** Ten PINGs lost in a row are a dead peer, not a busy one. */
  silenceMs: 10_000,
  /** Bytes on their way wait this long for a peer whose host acknowledges none: as long as for its PING. See worker/stall.ts. */
  stallMs: 10_000,
  /** The kernel is asked as often as a PING is sent; a stall is found at most two looks late. */
  stallLookMs: 1_000,
  /**
   * A connection that this side has closed, and whose peer's host has everything, stays for the peer's FIN this long: it comes at once, or not at
   * all, where that host has given up. Whatever comes later is answered with a reset.
   */
  finSeconds: 5,
  /** Answers to a SYN that are repeated before its half-open connection is forgotten: after 7 s, when its source has long begun anew. */
  synAckRepeats: 2,
  /** No poll sleeps longer, so that a worker always hears that it should end. */
  pollMs: 100,
  /**
   * Bytes in the kernel that TCP has not sent, per socket: they are added to the blackout unseen by QEMU. One record is enough to keep the
   * line busy while the next is sealed.
   */
  notSentLowWater: 256 * 1024,
  /** A round trip from which on a line is a long one: below it, 4 MiB, which is what kernels let a connection have on its way, carry 16 Gb/s. */
  longLineMicros: 2_000,
  /** What a connection may have on its way on a long line is enough for this rate: 10 Gb/s. */
  longLineBytesPerSecond: 1.25e9,
  /** And no more than this: 1.7 Gb/s at 150 ms. What was sent and is unacknowledged is memory of the host's, not of the agent's. */
  maxSendBuffer: 32 * 1024 * 1024,
  /**
   * Room in a unix socket, bytes: for one packet of QEMU's multifd, 512 KiB, so that it is handed over without waiting for this side. It is
   * added to what is buffered before the wire, a hundredth of a second for two channels on a line of 100 MB/s.
   */
  localBuffer: 512 * 1024,
  /** Records that one channel direction may move before the others get their turn. */
  recordsPerTurn: 4,
} as const;
