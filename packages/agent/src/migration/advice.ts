/** What to do about a failure, by its code: docs/protocol.md "failure codes" says the same of the transport's. */
import type { MigrationFailure } from '@sealift/contract';
import type { FailureCode } from '@sealift/transport';
import type { Failure } from '../handover/records.ts';

export const advice: Readonly<Record<FailureCode, string>> = {
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

/** Of failures that are not the transport's. */
const others: Partial<Readonly<Record<Failure['code'], string>>> = {
  did_not_converge:
    'Give it more bandwidth, let it be slowed further (--max-throttle), allow a longer switch-over (--max-downtime), or move it when it is less busy.',
};

/** The failure as it is reported and logged. Most codes that are not the transport's say in their message what to do. */
export function withAdvice({ code, message }: Failure): MigrationFailure {
  const known = Object.entries({ ...advice, ...others }).find(([each]) => each === code)?.[1];
  return { code, message, ...(known !== undefined && { advice: known }) };
}
