/** What a tunnel has to say of itself when it is over. */
import type { Suite } from '../constants.ts';
import type { FailureCode, TransportError } from '../errors.ts';
import type { Attempt } from '../keys/context.ts';
import type { ChannelTotal } from '../record/control.ts';
import type { Session } from '../session.ts';

/** Of `--json`. Counts are payload; `sent` is from this end to the other. */
export interface TunnelReport {
  readonly role: 'send' | 'receive';
  /** `completed`: every channel was closed by both ends, and what arrived is what was sent. */
  readonly outcome: 'completed' | 'failed' | 'aborted';
  readonly failure: { readonly code: FailureCode; readonly message: string } | null;
  readonly migration: string;
  readonly suite: Suite;
  /** Whether what was carried was encrypted, and protected from change. */
  readonly sealed: boolean;
  readonly channels: readonly { readonly channel: number; readonly sent: ChannelTotal; readonly received: ChannelTotal }[];
  /** Both directions, with headers, tags and hellos. */
  readonly bytesOnWire: number;
  /** Null where none was seen. */
  readonly leastRttMs: number | null;
  readonly seconds: number;
  /** Of the threads that carry and seal, and of the whole process while the tunnel ran. */
  readonly cpuSeconds: { readonly transport: number; readonly process: number };
}

export interface Ended {
  readonly role: 'send' | 'receive';
  readonly attempt: Attempt;
  readonly session: Session;
  readonly failure: TransportError | undefined;
  readonly aborted: boolean;
  readonly seconds: number;
  readonly processCpuSeconds: number;
}

export function report({ role, attempt, session, failure, aborted, seconds, processCpuSeconds }: Ended): TunnelReport {
  const { statistics } = session;
  return {
    role,
    outcome: aborted ? 'aborted' : failure ? 'failed' : 'completed',
    failure: failure ? { code: failure.code, message: failure.message } : null,
    migration: attempt.migration,
    suite: attempt.suite,
    sealed: attempt.suite !== 'none',
    channels: [...session.usedChannels]
      .sort((a, b) => a - b)
      .map((channel) => ({ channel, sent: statistics.total(channel, 'out'), received: statistics.total(channel, 'in') })),
    bytesOnWire: session.bytesOnWire,
    leastRttMs: statistics.leastRtt === 0 ? null : statistics.leastRtt / 1000,
    seconds,
    cpuSeconds: { transport: session.cpuSeconds, process: processCpuSeconds },
  };
}

/** The same in one line, for people. */
export function summary({ outcome, failure, sealed, channels, seconds, cpuSeconds }: TunnelReport): string {
  const sum = (direction: 'sent' | 'received'): string =>
    `${(channels.reduce((total, channel) => total + channel[direction].bytes, 0) / 1e6).toFixed(1)} MB ${direction}`;
  const how = sealed ? 'sealed' : 'CLEAR (neither encrypted nor protected from change)';
  const what = `${channels.length} ${channels.length === 1 ? 'channel' : 'channels'}, ${sum('sent')}, ${sum('received')}, ${how}`;
  const cost = `${seconds.toFixed(1)} s, ${cpuSeconds.process.toFixed(1)} CPU s`;
  const words = { completed: 'done', aborted: 'aborted', failed: `failed (${failure?.code}): ${failure?.message}` }[outcome];
  return `${words}; ${what}, ${cost}`;
}
