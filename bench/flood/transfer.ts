/**
 * One transfer between the two ends of a tunnel, every part in a process of its own, and whoever is called by strangers meanwhile:
 *
 *     giver ──unix──► sealift tunnel send ═══ loopback, sealed ═══► sealift tunnel receive ──unix──► taker
 *                                                                        ▲
 *                             strangers ── migration-port ───────────────┘
 *                                      └── unrelated ──► bystander
 */
import { readFileSync } from 'node:fs';
import type { TunnelReport } from '../../packages/transport/src/tunnel/report.ts';
import { type Started, TunnelBench } from '../../tests/support/tunnel.ts';
import { Helper } from './helper.ts';
import type { Called } from './strangers.ts';
import type { Taken } from './taker.ts';

export const conditions = ['none', 'unrelated', 'migration-port'] as const;
export type Condition = (typeof conditions)[number];

export interface Plan {
  readonly streams: number;
  readonly bytesPerStream: number;
  readonly strangers: number;
  /** Strangers a second. */
  readonly rate: number;
}

export interface Transfer {
  /** From the source's program connecting to the last byte at the destination's. */
  readonly seconds: number;
  /** Every stranger had been connected before the last byte arrived; true where there were none. */
  readonly floodWithin: boolean;
  readonly floodSeconds: number | undefined;
  /** CPU seconds: of the tunnel's ends from their start to their end, of the others for their part in the flood. */
  readonly cpu: { readonly sender: number; readonly receiver: number; readonly bystander: number; readonly strangers: number };
}

/** @throws where the transfer failed, or its bytes were not right */
export async function transfer(condition: Condition, plan: Plan): Promise<Transfer> {
  await using bench = await TunnelBench.make('--channels-max', String(plan.streams));
  const { migration } = JSON.parse(readFileSync(bench.spec, 'utf8'));
  const taker = bench.use(new Helper('taker.ts', bench.in, plan.streams, plan.bytesPerStream));
  await taker.says('ready');
  const receiver = bench.receive();
  const sender = await bench.send(receiver, '--idle-exit', '0');
  const giver = bench.use(new Helper('giver.ts', bench.out, plan.streams, plan.bytesPerStream));
  const bystander = condition === 'unrelated' ? bench.use(new Helper('bystander.ts')) : undefined;
  const port = bystander ? (await bystander.says<{ port: number }>('port')).port : portOf(await receiver.says(/listening on (\S+)/));
  const strangers =
    condition === 'none' ? undefined : bench.use(new Helper('strangers.ts', port, plan.strangers, plan.rate, String(migration)));
  await Promise.all([sender.says(/ready/), giver.says('ready'), strangers?.says('ready')]);

  const idle = { bystander: bystander?.cpuSeconds ?? 0, strangers: strangers?.cpuSeconds ?? 0 };
  giver.go();
  const { began } = await giver.says<{ began: number }>('began');
  strangers?.go();
  const failed = Promise.race([failureOf(sender), failureOf(receiver)]);
  const { taken, right } = await Promise.race([taker.says<Taken>('taken'), failed]);
  if (!right) throw new Error('other bytes arrived than were sent');
  const busy = {
    bystander: (bystander?.cpuSeconds ?? 0) - idle.bystander,
    strangers: (strangers?.cpuSeconds ?? 0) - idle.strangers,
  };
  const statuses = await Promise.all([sender.ended, receiver.ended]);
  if (statuses.some((status) => status !== 0)) throw new Error(`the tunnel ended with ${statuses}:\n${sender.stderr}${receiver.stderr}`);
  const flood = strangers && (await Promise.race([strangers.says<Called>('called'), lateWord()]));
  return {
    seconds: (taken - began) / 1000,
    floodWithin: !strangers || (flood !== undefined && flood.connected === plan.strangers && flood.called < taken),
    floodSeconds: flood && (flood.called - began) / 1000,
    cpu: { ...busy, sender: cpuOf(sender.report), receiver: cpuOf(receiver.report) },
  };
}

const cpuOf = ({ cpuSeconds }: TunnelReport): number => cpuSeconds.process;

const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));

/** Rejects where an end of the tunnel fails, and else never settles. */
async function failureOf(end: Started): Promise<never> {
  const status = await end.ended;
  if (status !== 0) throw new Error(`an end of the tunnel ended with ${status}: ${end.stderr}`);
  return new Promise(() => undefined);
}

/** A word that was sent in time is here by now, or never counts. */
const lateWord = (): Promise<undefined> => new Promise((resolve) => setTimeout(() => resolve(undefined), 100));
