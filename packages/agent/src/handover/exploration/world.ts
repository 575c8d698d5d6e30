/**
 * The world around the two machines, as few bytes as it takes: two agents, their journals, two QEMUs, the sealed session between them, the
 * statements that anyone may carry, and an administrator. What is in here is what may happen; what is done about it is the machines' own.
 *
 * Events of one side are taken in any order that their causes allow, one at a time, and only when the effects of the one before are done, as
 * machine.ts does. A record at the head of a turn is written together with it: to crash between the two is to crash before the event.
 */
import type { ChannelTotal } from '@sealift/transport';
import { type DestinationEffect, type DestinationEvent, type DestinationState, destinationStart } from '../destination.ts';
import type { DestinationOutcome, DestinationStep, Failure, SourceOutcome, SourceStep } from '../records.ts';
import { type SourceEffect, type SourceEvent, type SourceState, sourceStart } from '../source.ts';
import type { Go, Model } from './explore.ts';
import type { Rules } from './rules.ts';
import { Table } from './table.ts';

/** Where in a state each fact is. `s…` is the source's, `d…` the destination's. */
export const F = {
  sUp: 0,
  sState: 1,
  /** Effects that are still to be done: a number of the table's. */
  sTodo: 2,
  /** Events of its own that wait: {@link bit}. */
  sBits: 3,
  sJournal: 4,
  sQemu: 5,
  /** Its end of the sealed session: {@link line}. */
  sLine: 6,
  /** Something of the VM is on this host. */
  sFiles: 7,
  dUp: 8,
  dState: 9,
  dTodo: 10,
  dBits: 11,
  dJournal: 12,
  dQemu: 13,
  dLine: 14,
  dFiles: 15,
  /** Channel 0 towards the destination and towards the source: each {@link word} that is on its way, in order. */
  toD: 16,
  toS: 17,
  /** The last byte of the VM has left the source's QEMU. */
  sent: 18,
  /** CLOSE on the data channels: {@link close}. */
  close: 19,
  /** Statements that exist, and may come, again and again, at any time: {@link said}. */
  said: 20,
  /** {@link fact} */
  facts: 21,
  order: 22,
  /** The source's QEMU has gone over to post-copy. */
  postcopy: 23,
} as const;
export const width = 24;

/** Of the source's QEMU. `idle` and `copy`: the VM is as it was before the attempt, so it runs, if it ran. */
export const sQemu = { idle: 0, copy: 1, preSwitchover: 2, device: 3, completed: 4, gone: 5, released: 6, feeding: 7 } as const;
/**
 * Of the source's, `feeding`: by post-copy, it has sent all but memory, and sends that. Of the destination's. `full`: every byte is with it. `junk`: it has taken another stream for the VM. `active`: the VM is let go. By post-copy,
 * `drawing`: it has all but memory, `partial`: the VM is let go, and pages are missing. */
export const dQemu = { loading: 0, full: 1, loaded: 2, junk: 3, stuck: 4, active: 5, gone: 6, drawing: 7, partial: 8 } as const;
/** `control`: a data channel has failed, channel 0 still carries. */
export const line = { closed: 0, control: 1, open: 2 } as const;
export const word = { none: 0, grant: 1, grantOfLess: 2, aborted: 3, running: 1 } as const;
export const close = { none: 0, whole: 1, cut: 2, heard: 3 } as const;
export const bit = { failed: 1, done: 2, endedWhole: 4, endedCut: 8, refused: 16, lost: 32, starved: 64 } as const;
export const said = { running: 1, abortedByD: 2, abortedByS: 4, grantedFresh: 8, grantedBefore: 16 } as const;
export const fact = {
  /** The destination's copy has been let go: it is the current one from then on. */
  ran: 1,
  /** The destination's QEMU died, and nobody of ours killed it. */
  died: 2,
  /** The destination's agent was killed after RUN, or its journal does not take that QEMU would not run: nobody can say any more whether it ran. */
  blurred: 4,
} as const;
export const order = { none: 0, source: 1, destination: 2 } as const;

export interface Options {
  readonly rules: Rules;
  /** Crashes, dying QEMUs, dying lines, refused records, cancels. */
  readonly faults: boolean;
  /**
   * What an administrator may decide. `careful`: the source's copy only while the destination's agent is down and the VM does not run there;
   * `hasty`: also while that agent merely cannot be reached.
   */
  readonly administrator: 'none' | 'careful' | 'hasty';
  /** The destination's agent may be ordered the same attempt again. */
  readonly repeatedOrders: boolean;
  /** The destination's QEMU may take for the VM what is not: another stream, or less than all of it. */
  readonly strangeStreams: boolean;
  /** The source's QEMU may go over to post-copy. */
  readonly postcopy: boolean;
  /** States that differ only in what can make no difference any more are taken for one. */
  readonly forgets: boolean;
}

const whole: readonly ChannelTotal[] = [{ records: 2, bytes: 20 }];
const less: readonly ChannelTotal[] = [{ records: 1, bytes: 10 }];
const failure: Failure = { code: 'truncated', message: 'something failed' };
const totalsName = (totals: readonly ChannelTotal[]): string => (totals[0]?.bytes === 20 ? 'whole' : 'less');

const recordName = ({ step, outcome, postcopy }: { readonly step: string; readonly outcome?: string; readonly postcopy?: true }): string =>
  `${step}${postcopy ? '+' : ''}${outcome === undefined ? '' : `:${outcome}`}`;

const nameOfSource = (effect: SourceEffect): string => {
  if (effect.type === 'journal') return `journal ${recordName(effect)}`;
  return effect.type === 'grant' ? `grant:${totalsName(effect.totals)}` : effect.type;
};

const nameOfDestination = (effect: DestinationEffect): string => {
  if (effect.type === 'find-out' && effect.postcopy) return 'find out what is missing';
  return effect.type === 'journal' ? `journal ${recordName(effect)}${effect.required ? '!' : ''}` : effect.type;
};

const sourceEvents: Readonly<Record<string, SourceEvent>> = {
  confirmed: { type: 'confirmed' },
  'pre-switchover': { type: 'pre-switchover' },
  completed: { type: 'completed' },
  'postcopy-active': { type: 'postcopy-active' },
  'local-ended:whole': { type: 'local-ended', totals: whole },
  'local-ended:less': { type: 'local-ended', totals: less },
  cancel: { type: 'cancel', failure },
  failed: { type: 'failed', failure },
  'vm-gone': { type: 'vm-gone' },
  running: { type: 'running' },
  aborted: { type: 'aborted' },
  keep: { type: 'keep' },
  drop: { type: 'drop' },
  'journal-failed': { type: 'journal-failed', failure },
  resumed: { type: 'resumed' },
  released: { type: 'released' },
};

const grantOf = (totals: readonly ChannelTotal[]) => ({ type: 'grant', grant: { runState: 'running', totals, diskWrites: [] } }) as const;

const destinationEvents: Readonly<Record<string, DestinationEvent>> = {
  'grant:whole': grantOf(whole),
  'grant:less': grantOf(less),
  'grant:postcopy': { type: 'grant', grant: { runState: 'running', totals: [], diskWrites: [], postcopy: true } },
  'delivered:whole': { type: 'delivered', totals: whole },
  'delivered:less': { type: 'delivered', totals: less },
  loaded: { type: 'loaded' },
  drawing: { type: 'drawing' },
  cancel: { type: 'cancel', failure },
  failed: { type: 'failed', failure },
  'qemu-failed': { type: 'failed', failure: { code: 'hypervisor', message: 'QEMU could not load it' } },
  aborted: { type: 'aborted' },
  'vm-gone': { type: 'vm-gone' },
  runs: { type: 'runs' },
  'would-not-run': { type: 'would-not-run', failure },
  starved: { type: 'starved', failure },
  cleared: { type: 'cleared' },
  keep: { type: 'keep' },
  drop: { type: 'drop' },
  'journal-failed': { type: 'journal-failed', failure },
  discarded: { type: 'discarded' },
};

const sourceRecords = [
  'accepted',
  'abandoned',
  'granted',
  'granted+',
  'released',
  'resuming',
  'ended:released',
  'ended:kept',
  'ended:lost',
];
const destinationRecords = ['prepared', 'run', 'run+', 'aborted', 'ended:arrived', 'ended:discarded', 'ended:lost'];

const readRecord = (name = ''): { readonly step: string; readonly outcome: string | undefined; readonly postcopy: true | undefined } => {
  const [step = '', outcome] = name.split(':');
  return { step: step.replace('+', ''), outcome, postcopy: step.endsWith('+') || undefined };
};

/** RUN is the last record. */
export const hasRun = (record: number | undefined): boolean => record === dRecord('run') || record === dRecord('run+');
export const sRecord = (name: string): number => sourceRecords.indexOf(name);
export const dRecord = (name: string): number => destinationRecords.indexOf(name.replace('!', ''));

/** The current memory went with the destination's QEMU, or nobody can say that it did not, or an administrator had chosen it. */
export const isLost = (facts: number, decided: number): boolean =>
  (facts & fact.died) !== 0 && ((facts & (fact.ran | fact.blurred)) !== 0 || decided === order.destination);

/** Is this word on its way? */
const says = (words: number, what: number): boolean => words !== 0 && ((words & 3) === what || says(words >> 2, what));

/** One state's successors in the making: `next` begins as a copy of `now`, is changed, and is handed on by {@link World.done}. */
export class World implements Model {
  readonly width = width;
  readonly options: Options;
  readonly source: Table<SourceState, SourceEvent, SourceEffect>;
  readonly destination: Table<DestinationState, DestinationEvent, DestinationEffect>;
  now: Uint8Array = new Uint8Array(width);
  readonly next = new Uint8Array(width);
  wrong: string | undefined;
  readonly #moves: readonly ((world: World) => void)[];
  #go: Go = () => undefined;

  constructor(options: Options, moves: readonly ((world: World) => void)[]) {
    this.options = options;
    this.#moves = moves;
    const { rules } = options;
    this.source = new Table({ step: rules.sourceStep, events: sourceEvents, nameOf: nameOfSource });
    this.destination = new Table({ step: rules.destinationStep, events: destinationEvents, nameOf: nameOfDestination });
  }

  get initial(): Uint8Array[] {
    const state = new Uint8Array(width);
    state[F.sUp] = 1;
    state[F.sState] = this.source.number(sourceStart);
    state[F.sJournal] = sRecord('accepted');
    state[F.sLine] = line.open;
    state[F.sFiles] = 1;
    state[F.dUp] = 1;
    state[F.dState] = this.destination.number(destinationStart);
    state[F.dJournal] = dRecord('prepared');
    state[F.dLine] = line.open;
    state[F.dFiles] = 1;
    return [state];
  }

  successors(now: Uint8Array, go: Go): void {
    this.now = now;
    this.#go = go;
    for (const move of this.#moves) move(this);
  }

  /** What a byte of the state is now. */
  is(field: number): number {
    return this.now[field] ?? 0;
  }

  has(field: number, flag: number): boolean {
    return (this.is(field) & flag) !== 0;
  }

  begin(): Uint8Array {
    this.next.set(this.now);
    this.wrong = undefined;
    return this.next;
  }

  mark(field: number, flag: number): void {
    this.next[field] = (this.next[field] ?? 0) | flag;
  }

  unmark(field: number, flag: number): void {
    this.next[field] = (this.next[field] ?? 0) & ~flag;
  }

  done(what: string, heals: boolean): void {
    this.#speak();
    if (this.options.forgets) this.#forget();
    this.#go(this.next, what, heals, this.wrong);
  }

  sourceAt(state: Uint8Array = this.now): SourceState {
    return this.source.state(state[F.sState] ?? 0);
  }

  destinationAt(state: Uint8Array = this.now): DestinationState {
    return this.destination.state(state[F.dState] ?? 0);
  }

  /** Puts a word on channel 0, behind what is still on its way: two bits each, the first lowest. */
  say(field: number, what: number): void {
    let shift = 0;
    while ((this.next[field] ?? 0) >> shift) shift += 2;
    this.mark(field, what << shift);
  }

  restartSource(): { state: number; list: number } {
    const { step, outcome, postcopy } = readRecord(sourceRecords[this.is(F.sJournal)]);
    // as written in the list of records above
    return this.source.begin(this.options.rules.sourceRestart(step as SourceStep, outcome as SourceOutcome | undefined, postcopy));
  }

  restartDestination(): { state: number; list: number } {
    const { step, outcome, postcopy } = readRecord(destinationRecords[this.is(F.dJournal)]);
    // as written in the list of records above
    const { destinationRestart } = this.options.rules;
    return this.destination.begin(
      destinationRestart(step as DestinationStep, 'running', outcome as DestinationOutcome | undefined, postcopy),
    );
  }

  /** Whoever is asked says what it says of the attempt; whether and when that comes to the other is the network's. */
  #speak(): void {
    const { next } = this;
    const { rules } = this.options;
    if (next[F.dUp]) {
      const verdict = rules.destinationVerdict(this.destinationAt(next));
      if (verdict === 'running') this.mark(F.said, said.running);
      if (verdict === 'aborted') this.mark(F.said, said.abortedByD);
    }
    if (!next[F.sUp]) return;
    const verdict = rules.sourceVerdict(this.sourceAt(next));
    if (verdict === 'aborted') this.mark(F.said, said.abortedByS);
    if (verdict === 'granted') {
      this.mark(F.said, said.grantedBefore);
      if (next[F.dUp] && this.destinationAt(next).at === 'returning') this.mark(F.said, said.grantedFresh);
    }
  }

  /** What can make no difference any more is not told apart: a world the less for each. Whether it can is asked of the machines. */
  #forget(): void {
    const { next, source, destination } = this;
    if (next[F.sUp]) {
      const at = next[F.sState] ?? 0;
      if (!source.matters(at, 'failed')) this.unmark(F.sBits, bit.failed);
      if (!source.matters(at, 'local-ended:whole')) this.unmark(F.sBits, bit.endedWhole);
      if (!source.matters(at, 'local-ended:less')) this.unmark(F.sBits, bit.endedCut);
      if (!source.matters(at, 'running') && !source.matters(at, 'aborted')) next[F.toS] = word.none;
    }
    if (this.options.rules.onlyFreshClears) this.unmark(F.said, said.grantedBefore);
    if (!next[F.dUp]) return;
    const at = next[F.dState] ?? 0;
    if (!destination.matters(at, 'failed')) this.unmark(F.dBits, bit.failed);
    if (!destination.matters(at, 'grant:whole') && !destination.matters(at, 'aborted')) next[F.toD] = word.none;
    if (!destination.matters(at, 'cleared')) this.unmark(F.said, said.grantedFresh);
    const record = next[F.dJournal];
    const over = record === dRecord('aborted') || record === dRecord('ended:discarded');
    if (!over) return;
    // It can never run: whatever its QEMU has of the VM is worth nothing.
    next[F.toD] = word.none;
    this.unmark(F.said, said.abortedByS);
    if ((next[F.dQemu] ?? 0) < dQemu.active || next[F.dQemu] === dQemu.drawing) next[F.dQemu] = dQemu.loading;
  }

  judge(state: Uint8Array): string | undefined {
    const atSource = (state[F.sQemu] ?? 0) <= sQemu.copy;
    const facts = state[F.facts] ?? 0;
    const runsThere = state[F.dQemu] === dQemu.active || state[F.dQemu] === dQemu.partial;
    if (atSource && runsThere) return 'two copies run';
    if (atSource && facts & fact.ran && state[F.postcopy]) return 'a copy runs at the source after the VM ran elsewhere by post-copy';
    if (atSource && facts & fact.ran && state[F.order] !== order.source) return 'a stale copy runs at the source';
    const aborted = ((state[F.said] ?? 0) & said.abortedByD) !== 0 || says(state[F.toS] ?? 0, word.aborted);
    if (aborted && state[F.dQemu] !== dQemu.gone && this.options.rules.statementsAreChecked && !this.options.repeatedOrders)
      return 'ABORTED is said while the QEMU of the destination is there';
    return this.isEnd(state) ? this.#judgeEnd(state) : undefined;
  }

  isEnd(state: Uint8Array): boolean {
    const source = this.sourceAt(state);
    const destination = this.destinationAt(state);
    if (source.at !== 'ended' || destination.at !== 'ended') return false;
    // A decision is carried to the destination as long as anything is left there.
    const untold = state[F.order] === order.source && source.outcome !== 'released' && destination.outcome !== 'discarded';
    return !untold && state[F.sUp] === 1 && state[F.dUp] === 1 && state[F.sTodo] === 0 && state[F.dTodo] === 0;
  }

  /** Exactly one copy, or one that is lost and said to be; and nothing is left of the other. */
  #judgeEnd(state: Uint8Array): string | undefined {
    const source = this.sourceAt(state);
    const destination = this.destinationAt(state);
    if (source.at !== 'ended' || destination.at !== 'ended') return undefined;
    const ran = ((state[F.facts] ?? 0) & fact.ran) !== 0;
    const died = isLost(state[F.facts] ?? 0, state[F.order] ?? 0);
    const outcome = `${source.outcome}, ${destination.outcome}`;
    if (source.outcome === 'released' && state[F.sFiles]) return 'something is left of the VM at the source';
    if (destination.outcome === 'discarded' && state[F.dFiles]) return 'something is left of the copy at the destination';
    const copies = Number((state[F.sQemu] ?? 0) <= sQemu.copy) + Number(state[F.dQemu] === dQemu.active);
    const resolved = state[F.order] !== order.none;
    if (!this.options.faults && outcome !== 'released, arrived') return 'nothing has failed, and the VM did not arrive';
    switch (outcome) {
      case 'released, arrived':
        return copies === 1 || died ? undefined : 'both have ended, and the VM runs nowhere';
      case 'released, lost':
        return died ? undefined : 'the VM was lost, and it did not have to be';
      case 'lost, arrived':
      case 'lost, lost':
        return resolved && died ? undefined : `the two hosts tell different ends: ${outcome}`;
      case 'kept, discarded':
        // It may have died since it runs again.
        return (copies === 1 || state[F.sQemu] === sQemu.gone) && (!ran || resolved)
          ? undefined
          : 'both have ended, and the VM runs nowhere';
      case 'lost, discarded':
        return state[F.sQemu] === sQemu.gone && (!ran || resolved) ? undefined : 'the VM was lost, and it did not have to be';
      default:
        return `the two hosts tell different ends: ${outcome}`;
    }
  }
}
