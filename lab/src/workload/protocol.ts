/** What the load process and its controller say to each other: JSON lines on the process's standard input and output. */

export type Command =
  /** Stores each text under a key of its own, in the guest's memory. */
  | { readonly do: 'plant'; readonly texts: readonly string[] }
  /** Starts to write; answered when all connections are open. */
  | { readonly do: 'start' }
  /** Begins a new measurement of the guest gap. */
  | { readonly do: 'reset' }
  | { readonly do: 'report' }
  /** What the guest's memory checker says. */
  | { readonly do: 'checker' }
  /** Stops writing, reads everything back, and reports. */
  | { readonly do: 'finish' };

export interface LoadReport {
  /** Writes that Redis has answered. */
  readonly acknowledgedWrites: number;
  /** Of these, the ones that were found missing. */
  readonly lostWrites: number;
  /** Values found that were never written there. */
  readonly wrongValues: number;
  readonly reconnects: number;
  readonly refusedWrites: number;
  /** The longest time without an answer since the last reset, of all connections. Milliseconds. */
  readonly guestGapMs: number;
  /** The longest that this process itself was kept from running in that time: how far the gap may be the client's own. Milliseconds. */
  readonly clientLagMs: number;
}

export type Answer = { readonly ok: true; readonly result?: unknown } | { readonly ok: false; readonly problem: string };
