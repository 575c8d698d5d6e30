/** The cells: who is struck, by what, at which stage of a migration. */
import { Seeded, seedOf } from './seeded.ts';

/** In the order of a migration. How each is reached: stages.ts. */
export const stages = [
  'preparing',
  'hello',
  'pre-copy',
  'paused',
  'grant sent',
  'grant received',
  'loaded',
  'recorded',
  'running',
  'releasing',
] as const;
export type Stage = (typeof stages)[number];

export const processes = ['source agent', 'destination agent', 'both agents', 'source QEMU', 'destination QEMU', 'manager'] as const;
export const links = ['migration link', 'management link'] as const;
export type Process = (typeof processes)[number];
export type Link = (typeof links)[number];

type Signal = 'SIGKILL' | 'SIGSTOP';
type Cut = 'cut' | 'cut one way' | 'slow';

export type Cell = { readonly stage: Stage } & (
  | { readonly victim: Process; readonly fault: Signal }
  | { readonly victim: Link; readonly fault: Cut }
);

/** Every combination that there is: a process is killed or stopped, a link is cut or slowed. */
export const cells: readonly Cell[] = stages.flatMap((stage): Cell[] => [
  ...processes.flatMap((victim): Cell[] => (['SIGKILL', 'SIGSTOP'] as const).map((fault) => ({ stage, victim, fault }))),
  ...links.flatMap((victim): Cell[] => (['cut', 'cut one way', 'slow'] as const).map((fault) => ({ stage, victim, fault }))),
]);

export const nameOf = ({ stage, victim, fault }: Cell): string => `${stage} / ${victim} / ${fault}`;

/** The box of the lab whose port of the switch is struck, where a link is. */
export type End = 'source' | 'destination' | 'manager';

/** One run of a cell: everything that is left to chance, chosen. */
export interface Run {
  readonly cell: Cell;
  /** How many runs of this cell come before. */
  readonly round: number;
  readonly seed: number;
  /** From the stage being reached to the fault. */
  readonly strikeAfterMs: number;
  /** From the fault to the stage being let go on. */
  readonly releaseAfterMs: number;
  /** From then until what was struck is healed. */
  readonly healAfterMs: number;
  /** Which end of a link. */
  readonly end: End;
}

/** Channels take a peer for dead after 10 s of silence: a fault is shorter, or longer. */
const shortMs = [100, 4_000] as const;
const longMs = [10_500, 14_000] as const;

/** @param round 0, 1…: the same cell again, with other choices */
export const runOf = (cell: Cell, seed: number, round: number): Run => {
  const own = seedOf(seed, `${nameOf(cell)} ${round}`);
  const random = new Seeded(own);
  const long = random.next() < 1 / 4;
  const [least, most] = long ? longMs : shortMs;
  return {
    cell,
    round,
    seed: own,
    strikeAfterMs: random.between(0, 300),
    releaseAfterMs: random.between(0, 500),
    healAfterMs: random.between(least, most),
    end: random.pick(
      cell.victim === 'management link' ? (['source', 'destination', 'manager'] as const) : (['source', 'destination'] as const),
    ),
  };
};

/** All cells as often as it takes for so many runs, in an order that the seed decides. */
export const planOfRuns = (count: number, seed: number, only: readonly Cell[] = cells): Run[] => {
  const runs: Run[] = [];
  for (let round = 0; runs.length < count && only.length > 0; round++) {
    const random = new Seeded(seedOf(seed, `order ${round}`));
    const order = only.map((cell) => ({ cell, at: random.next() })).sort((a, b) => a.at - b.at);
    for (const { cell } of order.slice(0, count - runs.length)) runs.push(runOf(cell, seed, round));
  }
  return runs;
};
