/** Channels that are opened as local streams come, in place of all at the beginning. docs/protocol.md "Channels on demand". */

/** What whoever begins such a session chooses. */
export interface OnDemand {
  /** The destination connects a channel as soon as it is proven, in place of when its first bytes are there. */
  readonly eager?: boolean;
  /** Of the destination: a local program that closes before it has read everything is no failure. */
  readonly mayCloseEarly?: boolean;
}

/** What the session is given for it. */
export interface Demand {
  /** Connects at CONFIRM in place of at the first bytes. The destination's matter; the source's is false. */
  readonly eager: boolean;
  readonly mayCloseEarly: boolean;
  /** Opens a channel; the source's. */
  dial(channel: number): void;
}
