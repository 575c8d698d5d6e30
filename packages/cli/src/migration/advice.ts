/** The transport's failure codes (docs/protocol.md "failure codes") as they stand in a migration's failure, and what to do about each. */
const advice: Readonly<Record<string, string>> = {
  hello:
    "Check that the source reaches the destination's migration addresses (sealift host show) and its port, 8651 by default, and that nothing else answers there.",
  record: 'Somebody or something changed what was on the wire. Find out what stands between the hosts before ordering it again.',
  truncated: 'A connection broke. If it happens again, look at the line between the hosts and at the log of the other agent.',
  stalled: 'The other host took no bytes for too long. Look at the line and at the load there, then order it again.',
  limit: 'More was sent than one migration may. Order it again.',
  totals: 'What arrived is not what was sent. Find out what stands between the hosts before ordering it again.',
  peer: 'The other agent was silent, or gave up: its log and its own account of the migration say why.',
  local: "This host's own side failed: look at its agent's log, at QEMU's log, and at its disk.",
};

/** @returns what to do about a failure with this code; undefined where its message says it already */
export const adviceFor = (code: string): string | undefined => advice[code];
