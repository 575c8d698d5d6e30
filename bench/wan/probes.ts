/** What ping and iperf3 see of a lab's line. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Lab } from '../../lab/src/lab/lifecycle.ts';
import { CommandError, run } from '../../lab/src/system/command.ts';
import { fullFrameBytes } from '../../lab/src/wan/conditions.ts';
import type { LineState } from '../../lab/src/wan/control.ts';
import { lineOf } from '../../lab/src/wan/line.ts';
import { type Spread, spreadOf } from '../measure/figures.ts';

const far = '10.77.2.12';
/** Of a full frame of MTU 1500, what TCP carries with timestamps: without 14 bytes of Ethernet, 20 of IP, 32 of TCP. */
const payloadBytes = fullFrameBytes - 66;
export const goodputShare = payloadBytes / fullFrameBytes;

type Ends = readonly [near: string, far: string];

const endsOf = ({ plan }: Lab): Ends => {
  const [near, other] = plan.hosts;
  if (near === undefined || other === undefined) throw new Error('a line has two ends');
  return [near.namespace, other.namespace];
};

const within = (namespace: string, program: string, ...args: readonly string[]): Promise<string> =>
  run('ip', ['netns', 'exec', namespace, program, ...args]);

/** Lets TCP windows grow beyond what the line holds, so that it is the line that is measured. */
export const widenWindows = async (lab: Lab): Promise<void> => {
  for (const namespace of endsOf(lab)) {
    await within(namespace, 'sysctl', '-qw', 'net.ipv4.tcp_wmem=4096 16384 134217728', 'net.ipv4.tcp_rmem=4096 131072 134217728');
  }
};

/** Of packets sent every 20 ms. @returns milliseconds, and the share of them that was not answered */
export const ping = async (lab: Lab, count: number): Promise<{ readonly times: Spread; readonly unanswered: number }> => {
  const [near] = endsOf(lab);
  // The first also waits for the address to be resolved.
  await within(near, 'ping', '-c', '2', '-i', '0.2', far).catch(() => undefined);
  const text = await within(near, 'ping', '-c', String(count), '-i', '0.02', '-W', '2', far);
  const times = [...text.matchAll(/time=([\d.]+) ms/g)].map(([, time]) => Number(time));
  return { times: spreadOf(times), unanswered: 1 - times.length / count };
};

export interface TcpRun {
  /** The mean of what the receiver got in whole seconds after the first ones. */
  readonly megabitsPerSecond: number;
  readonly retransmitted: number;
  /** CPU seconds a second, of the line's process, in which the kernel's work for the far host's receiving is in part. */
  readonly lineCpu: number;
  readonly iperfCpu: number;
  /** Packets that the line did not treat as it says. */
  readonly failures: number;
}

interface Iperf {
  readonly error?: string;
  readonly intervals: readonly { readonly sum: { readonly start: number; readonly end: number; readonly bits_per_second: number } }[];
  readonly end: {
    readonly sum?: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
    readonly sum_sent?: { readonly retransmits?: number };
    readonly streams: readonly { readonly udp?: { readonly out_of_order: number } }[];
    readonly cpu_utilization_percent: { readonly host_total: number };
  };
}

/** Both ends of one run. @throws Error when iperf3 fails */
const iperf = async (lab: Lab, args: readonly string[]): Promise<{ readonly sent: Iperf; readonly received: Iperf }> => {
  const [near, other] = endsOf(lab);
  const serving = within(other, 'iperf3', '-s', '-1', '-J');
  serving.catch(() => {}); // awaited below, after the client, whose words say more
  for (let attempt = 1; ; attempt++) {
    try {
      const sent: Iperf = JSON.parse(await within(near, 'iperf3', '-c', far, '-J', ...args));
      return { sent, received: JSON.parse(await serving) };
    } catch (error) {
      // What iperf3 says with -J it says on standard output, which CommandError does not carry: so it is tried until the server is there.
      if (!(error instanceof CommandError) || attempt === 20) throw error;
      await delay(100);
    }
  }
};

const failuresOf = async (lab: Lab): Promise<number> =>
  (await lineOf(lab)).directions.reduce((sum, { failures }) => sum + failures.overflowed + failures.refused, 0);

/** @param rampSeconds at the beginning that do not count */
export const tcp = async (
  lab: Lab,
  { congestion, flows, seconds, rampSeconds }: { congestion: string; flows: number; seconds: number; rampSeconds: number },
): Promise<TcpRun> => {
  // What the kernel remembers of a path would let a flow begin where another ended.
  await within(endsOf(lab)[0], 'ip', 'tcp_metrics', 'flush').catch(() => undefined);
  const failedBefore = await failuresOf(lab);
  const before = await lineOf(lab);
  const started = performance.now();
  const { sent, received } = await iperf(lab, ['-C', congestion, '-P', String(flows), '-t', String(rampSeconds + seconds)]);
  const after = await lineOf(lab);
  const counted = received.intervals
    .map(({ sum }) => sum)
    .filter(({ start, end }) => start > rampSeconds - 0.5 && end < rampSeconds + seconds + 0.5 && end - start > 0.9);
  return {
    megabitsPerSecond: counted.reduce((sum, each) => sum + each.bits_per_second, 0) / counted.length / 1e6,
    retransmitted: sent.end.sum_sent?.retransmits ?? 0,
    lineCpu: ((after.cpuSeconds - before.cpuSeconds) * 1000) / (performance.now() - started),
    iperfCpu: (sent.end.cpu_utilization_percent.host_total + received.end.cpu_utilization_percent.host_total) / 100,
    failures: (await failuresOf(lab)) - failedBefore,
  };
};

export interface UdpRun {
  readonly packets: number;
  readonly lost: number;
  /** Of these, by the line: at random or for want of room in its queue. The others were lost before it or after it, for want of CPU time. */
  readonly lostByLine: number;
  readonly outOfOrder: number;
  readonly megabitsPerSecond: number;
  readonly lineCpu: number;
}

/** By the line, from the near end. */
const lostBy = ({ directions }: LineState): number =>
  directions[0] ? directions[0].counts.lost + directions[0].counts.dropped : Number.NaN;

/** Packets that fill a frame, each by itself: nothing is bundled. @param megabitsPerSecond of the frames */
export const udp = async (lab: Lab, megabitsPerSecond: number, seconds: number): Promise<UdpRun> => {
  const datagram = fullFrameBytes - 42;
  const before = await lineOf(lab);
  const rate = String(Math.round((megabitsPerSecond * 1e6 * datagram) / fullFrameBytes));
  const started = performance.now();
  const { received } = await iperf(lab, ['-u', '-b', rate, '-l', String(datagram), '-t', String(seconds), '-w', '4M']);
  const after = await lineOf(lab);
  const { packets, lost_packets: lost, seconds: took } = received.end.sum ?? { packets: 0, lost_packets: 0, seconds: 1 };
  return {
    packets,
    lost,
    lostByLine: lostBy(after) - lostBy(before),
    outOfOrder: received.end.streams.reduce((sum, { udp: each }) => sum + (each?.out_of_order ?? 0), 0),
    megabitsPerSecond: ((packets - lost) * fullFrameBytes * 8) / took / 1e6,
    lineCpu: ((after.cpuSeconds - before.cpuSeconds) * 1000) / (performance.now() - started),
  };
};
