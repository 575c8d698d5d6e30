/** What a run came to, and whether that may be. */
import type { Run, Stage } from './cells.ts';
import type { Ran } from './qmp-watch.ts';

export interface Facts {
  readonly stage: Stage;
  readonly source: string;
  readonly destination: string;
  /** Which QEMU was killed, if one was. */
  readonly killed: 'source' | 'destination' | undefined;
  /** When that was, or what else was struck. Milliseconds since the epoch. */
  readonly struckAt: number;
  /** Both agents and the manager say that the migration has ended. */
  readonly settled: boolean;
  /** Of the migration, in the manager's books. */
  readonly phase: string;
  /** Of the VM, in the manager's books. */
  readonly vm: { readonly host: string; readonly state: string };
  /** What each journal holds of the migration. */
  readonly steps: { readonly source: readonly string[]; readonly destination: readonly string[] };
  /** Since before the order. */
  readonly ran: readonly Ran[];
  /** The client, where the VM runs; `problem` where it gets no answer. */
  readonly client?:
    | { readonly lost: number; readonly wrong: number; readonly checkerErrors: number; readonly problem?: string }
    | undefined;
  /** The QEMU that runs the VM does not let go of the migration, so that the VM must be powered off and on before it can move again. */
  readonly held: boolean;
  readonly sourceAgentKilled: boolean;
  readonly leftovers: readonly string[];
  readonly dead: readonly string[];
}

export type Outcome = 'runs at the source' | 'runs at the destination' | 'lost' | 'not settled';

export interface Judgement {
  readonly outcome: Outcome;
  /** Empty where all is as promised. */
  readonly violations: readonly string[];
}

const beforeGrant: readonly Stage[] = ['preparing', 'hello', 'pre-copy', 'paused'];
const onceItRan: readonly Stage[] = ['running', 'releasing'];

/**
 * The only current memory is the source's until the destination has let the VM run, and the destination's from then on; where that QEMU is
 * killed, nothing may run. A source that is killed after the grant is not missed: everything is on its way. In every other case the journal
 * says who has the VM. A destination that took it and could not run it gives it back: then it must never have run.
 */
const expected = ({ stage, killed, steps }: Facts): Outcome => {
  const took = steps.destination.includes('run') && !steps.destination.includes('aborted');
  if (killed === 'source') return beforeGrant.includes(stage) ? 'lost' : 'runs at the destination';
  // While the grant is on its way, the destination may have had the time to run the VM.
  if (killed === 'destination') return onceItRan.includes(stage) || (stage === 'grant sent' && took) ? 'lost' : 'runs at the source';
  return took ? 'runs at the destination' : 'runs at the source';
};

export const judge = (facts: Facts): Judgement => {
  const violations: string[] = [];
  const { source, destination, ran, phase, vm, struckAt, steps } = facts;
  const promised = expected(facts);

  for (const [a, b] of overlaps(ran)) violations.push(`two copies ran at once for ${(a - b).toFixed(1)} ms`);
  if (!facts.settled) violations.push(`not settled: ${phase}; journals: source ${steps.source}, destination ${steps.destination}`);

  const running = [...new Set(ran.filter(({ until }) => until === undefined).map(({ host }) => host))];
  const outcome = outcomeOf(facts, running);
  if (facts.settled && outcome !== promised) violations.push(`${outcome}, where it should be: ${promised}`);

  if (steps.destination.includes('aborted') && ran.some(({ host }) => host === destination))
    violations.push('a copy that was given back had run');

  if (promised === 'lost') {
    if (ran.some(({ from }) => from > struckAt)) violations.push('a copy was run after the memory had been lost');
    if (vm.state === 'running') violations.push(`the manager says that the VM runs on ${vm.host}`);
    if (!calledRightly(facts)) violations.push(`the manager calls a lost VM's migration ${phase}, and the VM ${vm.state} on ${vm.host}`);
  } else {
    const where = promised === 'runs at the source' ? source : destination;
    if (vm.host !== where || vm.state !== 'running')
      violations.push(`the manager has the VM ${vm.state} on ${vm.host}, and it is on ${where}`);
    const ended = promised === 'runs at the source' ? ['failed', 'cancelled'] : ['completed'];
    if (!ended.includes(phase)) violations.push(`the manager calls the migration ${phase}`);
    violations.push(...clientsComplaints(facts));
  }
  // QEMU 7.2 may never let go where its sockets broke while it copied; they break with the agent that reads them: docs/adr/0009.
  if (facts.held && !facts.sourceAgentKilled) violations.push('its QEMU does not let go of the migration');
  violations.push(...facts.leftovers.map((what) => `left behind: ${what}`), ...facts.dead.map((name) => `${name} is not running`));
  return { outcome, violations };
};

/**
 * `lost`; but a VM that is killed before its source was told anything is one that crashed and never began to move, and one that is killed after
 * its source was told RUNNING is one that had moved and crashed then.
 */
const calledRightly = ({ phase, killed, steps, vm, source, destination }: Facts): boolean => {
  if (phase === 'lost') return true;
  if (vm.state !== 'crashed') return false;
  if (killed === 'source') return phase === 'failed' && steps.source.length === 0 && vm.host === source;
  return phase === 'completed' && steps.source.includes('released') && vm.host === destination;
};

const outcomeOf = ({ source, destination, settled }: Facts, running: readonly string[]): Outcome => {
  if (!settled) return 'not settled';
  if (running.includes(destination)) return 'runs at the destination';
  return running.includes(source) ? 'runs at the source' : 'lost';
};

const clientsComplaints = ({ client }: Facts): string[] => {
  if (!client) return ['the client was not asked'];
  const { lost, wrong, checkerErrors, problem } = client;
  return [
    ...(problem === undefined ? [] : [problem]),
    ...(lost === 0 ? [] : [`${lost} acknowledged writes are gone`]),
    ...(wrong === 0 ? [] : [`${wrong} values that were never written`]),
    ...(checkerErrors === 0 ? [] : [`the memory checker found ${checkerErrors} pages other than they must be`]),
  ];
};

/** Pairs of an end and a later beginning that lies before it. */
const overlaps = (ran: readonly Ran[]): [number, number][] => {
  const found: [number, number][] = [];
  const end = (each: Ran): number => each.until ?? Date.now();
  for (const [index, a] of ran.entries()) {
    for (const b of ran.slice(index + 1)) {
      const from = Math.max(a.from, b.from);
      const until = Math.min(end(a), end(b));
      if (a.host !== b.host && from < until) found.push([until, from]);
    }
  }
  return found;
};

/** One line of the table. */
export interface Account extends Judgement {
  readonly run: Run;
  readonly migration: string;
  readonly source: string;
  readonly phase: string;
  readonly failure: string | undefined;
  /** See {@link Facts.held}. */
  readonly held: boolean;
  readonly acknowledged: number;
  readonly guestGapMs: number;
  readonly tookMs: number;
}
