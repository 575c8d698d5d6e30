/** What a line between two hosts is like, and how people write it: `rtt=50ms,rate=1gbit,loss=0.1%`. */
import { SealiftError } from '@sealift/contract';

/** The same in both directions. */
export interface Conditions {
  /** What the line adds to a round trip: half of it each way, whatever the rate and the queue add. */
  readonly rttMs: number;
  /** Each way, from 0 to this is added, wandering; packets are not reordered by it. */
  readonly jitterMs: number;
  /** Of Ethernet frames without preamble, checksum and gap, as tc(8) counts: a full packet of MTU 1500 is 1514 bytes. */
  readonly bitsPerSecond: number;
  /** The share of frames that is lost on the way, from 0 to 1. */
  readonly loss: number;
  /** The share of frames that arrives {@link reorderLagMs} later than its place in the order, from 0 to 1. */
  readonly reorder: number;
  /** What waits for the line at most; beyond, frames are dropped at the tail. Without it: {@link queueOf}. */
  readonly queueBytes?: number;
  /** Nothing gets through, and what is on its way is lost. */
  readonly down: boolean;
}

/** The longest Ethernet frame with an MTU of 1500, as tc(8) counts. */
export const fullFrameBytes = 1514;

/** At 1 Gb/s, 80 full frames overtake one that is late: enough for any TCP to see it, and less than a retransmission timeout by far. */
export const reorderLagMs = 1;

export const cleanLine: Conditions = { rttMs: 0, jitterMs: 0, bitsPerSecond: 1e9, loss: 0, reorder: 0, down: false };

/**
 * Unless set: what the line carries in one round trip, the classical rule by which a single TCP flow that halves its window at a loss keeps the
 * line filled (Villamizar, Song: High Performance TCP in ANSNET, 1994), and at least 1000 full frames, Linux's own default for a device's queue.
 */
export const queueOf = ({ queueBytes, bitsPerSecond, rttMs }: Conditions): number =>
  queueBytes ?? Math.max(1000 * fullFrameBytes, Math.ceil(((bitsPerSecond / 8) * rttMs) / 1000));

const most = { rttMs: 10_000, jitterMs: 10_000, bitsPerSecond: 100e9, queueBytes: 1e9 } as const;

/** What is changed of conditions; a `queueBytes` that is there and undefined means the default again. */
export type Change = { readonly [Name in keyof Conditions]?: Conditions[Name] | undefined };

export const changed = ({ queueBytes: before, ...rest }: Conditions, { queueBytes: after, ...change }: Change): Conditions => {
  const set = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
  const queueBytes = after ?? before;
  return { ...rest, ...set, ...(queueBytes !== undefined && { queueBytes }) };
};

interface Word {
  readonly example: string;
  readonly read: (text: string) => Change | undefined;
}

const durations: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 };
const rates: Readonly<Record<string, number>> = { kbit: 1e3, mbit: 1e6, gbit: 1e9 };
const sizes: Readonly<Record<string, number>> = { kb: 1e3, mb: 1e6, kib: 1024, mib: 1024 ** 2 };

/** A number and a unit. */
const measured = (text: string, units: Readonly<Record<string, number>>, atMost: number): number | undefined => {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([a-z%]*)$/i.exec(text) ?? [];
  const value = Number(number) * (units[unit.toLowerCase()] ?? Number.NaN);
  return number !== '' && value >= 0 && value <= atMost ? value : undefined;
};

const share = (text: string): number | undefined => measured(text, { '%': 0.01 }, 1);

const word = <Name extends keyof Conditions>(name: Name, example: string, read: (text: string) => Conditions[Name] | undefined): Word => ({
  example,
  read: (text) => {
    const value = read(text);
    // A computed name is a string to the compiler; it is that of a condition with a value of its type.
    return value === undefined ? undefined : ({ [name]: value } as Change);
  },
});

const words: Readonly<Record<string, Word>> = {
  rtt: word('rttMs', '50ms', (text) => measured(text, durations, most.rttMs)),
  jitter: word('jitterMs', '20ms', (text) => measured(text, durations, most.jitterMs)),
  rate: word('bitsPerSecond', '1gbit', (text) => measured(text, rates, most.bitsPerSecond) || undefined),
  loss: word('loss', '0.1%', share),
  reorder: word('reorder', '1%', share),
  queue: word('queueBytes', '6mb', (text) => measured(text, sizes, most.queueBytes)),
};

const form = `parts joined by commas, as ${Object.entries(words)
  .map(([name, { example }]) => `${name}=${example}`)
  .join(',')}, or down, or up`;

/**
 * Units: us, ms, s; kbit, mbit, gbit; kb and mb (powers of 1000), kib and mib; %.
 * @throws SealiftError `invalid_request` naming the part that is wrong
 */
export const parseChange = (text: string): Change => Object.assign({}, ...text.split(',').map(parsePart));

const parsePart = (part: string): Change => {
  if (part === 'down' || part === 'up') return { down: part === 'down' };
  const [name = '', value = '', ...more] = part.split('=');
  const found = Object.hasOwn(words, name) && more.length === 0 ? words[name]?.read(value) : undefined;
  if (found !== undefined) return found;
  throw new SealiftError('invalid_request', `a line is described by ${form}; "${part}" is none of these`);
};

/** As {@link parseChange} reads it. */
export const formatConditions = ({ rttMs, jitterMs, bitsPerSecond, loss, reorder, queueBytes, down }: Conditions): string => {
  const percent = (value: number): string => `${Number((value * 100).toPrecision(6))}%`;
  return [
    `rtt=${rttMs}ms`,
    `rate=${Number((bitsPerSecond / 1e6).toPrecision(9))}mbit`,
    ...(queueBytes === undefined ? [] : [`queue=${queueBytes / 1e3}kb`]),
    `jitter=${jitterMs}ms`,
    `loss=${percent(loss)}`,
    `reorder=${percent(reorder)}`,
    ...(down ? ['down'] : []),
  ].join(',');
};
