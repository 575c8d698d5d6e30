/**
 * What two agents' accounts of an attempt come to. Pure: the follower feeds it, tests put every combination to it.
 *
 * The source is the authority: it owns the VM until it has released it. The destination's word counts for itself only in that a
 * VM which runs there is there. Whatever is not certain stays unfinished and is asked about again; a guess would allow a second
 * migration of a VM of which nobody knows where it is.
 */
import {
  type AttemptReport,
  finalPhases,
  type Migration,
  type MigrationFailure,
  type MigrationResult,
  type VmState,
} from '@sealift/contract';

/** What is known of one side. */
export interface Side {
  /** Its last report of the attempt. */
  readonly report?: AttemptReport;
  /** It answers, and knows nothing of the attempt. Then this is how its host has the VM, undefined where it has not. */
  readonly missing?: { readonly vm: VmState | undefined };
  /** Since when it has not answered, on the clock of `now`. */
  readonly silentSince?: number;
}

export interface Verdict {
  readonly migration: Migration;
  /** Where the VM is from now on, when that is known to have changed. */
  readonly vmHost?: string;
  /** The destination still holds on to an attempt that is off. */
  readonly undoDestination?: true;
  /** When to look again although nothing has happened, ms. */
  readonly lookAgainInMs?: number;
}

/** How long a completed migration waits for the destination's figures. */
export const figuresGraceMs = 10_000;
/** How long a source may be silent after its VM has begun to run at the destination until the migration counts as completed without it. */
export const sourceGraceMs = 60_000;
/** How long a source that knows only that the destination gave up, or is gone, waits for the destination's word on why. */
export const causeGraceMs = 2_000;

export interface Accounts {
  readonly source: Side;
  readonly destination: Side;
  /** When the source, respectively the destination, was first heard to have completed. */
  readonly completedAt?: number;
  /** When the source was first heard to have ended. */
  readonly sourceEndedAt?: number;
  readonly now: number;
  /** The spec's number of channels. */
  readonly channels: number;
  /** When the source was told to begin. */
  readonly begunAt?: number;
  /** The error that left open whether the source has begun. */
  readonly doubt?: { readonly code: string; readonly message: string };
}

export function merge(migration: Migration, accounts: Accounts): Verdict {
  const { source, destination } = accounts;
  if (source.report && isFinal(source.report)) return sourceEnded(migration, source.report, accounts);
  if (hasRun(destination)) return ranAtDestination(migration, accounts);
  if (source.missing) return sourceKnowsNothing(migration, source.missing, accounts);
  const { phase: saidBySource = migration.phase, progress } = source.report ?? {};
  const phase = isInDoubt(destination.report) ? 'in-doubt' : saidBySource;
  return { migration: { ...migration, phase, ...(progress && { progress }) } };
}

/** The VM was handed over: it runs at the destination, or has run there and its memory is gone. */
export const hasRun = ({ report }: Side): boolean => report?.phase === 'completed' || report?.phase === 'lost';

export const isInDoubt = (report: AttemptReport | undefined): boolean => report?.phase === 'in-doubt';

export const isFinal = (report: AttemptReport): boolean => finalPhases.includes(report.phase);

function sourceEnded(migration: Migration, report: AttemptReport, accounts: Accounts): Verdict {
  const { destination, now, completedAt = now } = accounts;
  const known = { ...migration, ...(report.progress && { progress: report.progress }) };
  if (report.phase === 'completed') {
    // It was handed over, and whether it runs there is what the destination is asking about: the end is not known yet.
    if (isInDoubt(destination.report)) return { migration: { ...known, phase: 'in-doubt' }, vmHost: migration.to };
    const heard = destination.report !== undefined && isFinal(destination.report);
    const left = completedAt + figuresGraceMs - now;
    if (!heard && !destination.missing && left > 0) {
      return { migration: { ...known, phase: 'releasing' }, vmHost: migration.to, lookAgainInMs: left };
    }
    if (destination.report?.phase === 'lost') return lostAtDestination(known, destination.report, now);
    const result = resultOf(migration, accounts, report);
    return ended({ ...known, phase: 'completed', ...(result && { result }) }, now, { vmHost: migration.to });
  }
  if (report.phase === 'lost') return lostAtSource(known, report, now);
  const holding = !destination.missing && !(destination.report && isFinal(destination.report));
  const left = (accounts.sourceEndedAt ?? now) + causeGraceMs - now;
  if (report.failure && mayFollow.includes(report.failure.code) && holding && left > 0) {
    return { migration: { ...known, phase: migration.phase }, lookAgainInMs: left };
  }
  const failure = causeOf(migration, report, destination.report) ?? {
    code: report.phase === 'cancelled' ? 'cancelled' : 'migration_failed',
    message: `host ${migration.from} reports the migration as ${report.phase} without a reason`,
  };
  return ended({ ...known, phase: report.phase, failure }, now, holding ? { undoDestination: true } : {});
}

/**
 * What one side also sees because the other has failed: ABORTED, or its connections closed, whichever comes first. The other's code is the
 * cause then.
 */
const mayFollow: readonly string[] = ['peer', 'truncated'];

/** The source's reason; the destination's where the source's may only follow from it. */
function causeOf({ to }: Migration, { failure }: AttemptReport, destination: AttemptReport | undefined): MigrationFailure | undefined {
  const there = destination?.failure;
  if (!there || there.code === 'cancelled') return failure ?? there;
  // Truncated at the source and `peer` or `truncated` at the destination may have followed from one another either way.
  const follows = !failure || failure.code === 'peer' || (failure.code === 'truncated' && !mayFollow.includes(there.code));
  return follows ? { ...there, message: `host ${to}: ${there.message}` } : failure;
}

/** The VM runs at the destination, or has run there; what is left is the source's release and its figures. */
function ranAtDestination(migration: Migration, { source, destination, now, completedAt = now }: Accounts): Verdict {
  const vmHost = migration.to;
  const left = Math.max(completedAt, source.silentSince ?? now) + sourceGraceMs - now;
  const gone = source.missing !== undefined || (source.silentSince !== undefined && left <= 0);
  if (destination.report?.phase === 'lost') {
    // The source holds a paused copy until it hears of it: nothing is lost that is not lost already, but nothing is over either.
    if (gone) return lostAtDestination(migration, destination.report, now);
    return { migration: { ...migration, phase: source.report?.phase ?? migration.phase }, lookAgainInMs: Math.max(left, 1000) };
  }
  if (gone) return ended({ ...migration, phase: 'completed' }, now, { vmHost });
  return { migration: { ...migration, phase: 'releasing' }, vmHost, lookAgainInMs: Math.max(left, 1000) };
}

/** It was handed over and then lost: no older copy takes its place, and what there is to start again from is at the destination. */
function lostAtDestination(migration: Migration, { failure }: AttemptReport, now: number): Verdict {
  const { vm, from, to } = migration;
  return lost(migration, to, failure, `VM ${vm} had been handed over by host ${from} and was lost at host ${to}`, now);
}

function lostAtSource(migration: Migration, { failure }: AttemptReport, now: number): Verdict {
  const { vm, from } = migration;
  return lost(migration, from, failure, `VM ${vm} had not been handed over and was lost at host ${from}`, now);
}

function lost(migration: Migration, at: string, because: MigrationFailure | undefined, where: string, now: number): Verdict {
  const { vm } = migration;
  const failure = {
    code: because?.code ?? 'hypervisor',
    message: because ? `${where}: ${because.message}` : where,
    advice: `VM ${vm} is off, on host ${at}; its memory is gone, and its disks are as it last wrote them. Start it again there: sealift vm start ${vm}`,
  };
  return ended({ ...migration, phase: 'lost', failure }, now, at === migration.to ? { vmHost: at } : {});
}

function sourceKnowsNothing(migration: Migration, { vm }: NonNullable<Side['missing']>, accounts: Accounts): Verdict {
  const { destination, now, doubt } = accounts;
  if (vm !== undefined && vm !== 'in-doubt' && vm !== 'moving-out' && vm !== 'moving-in') {
    // An error does not keep its message where it is stored: JSON has only what can be enumerated of it.
    const failure = doubt
      ? { code: doubt.code, message: doubt.message }
      : {
          code: 'migration_failed',
          message: `host ${migration.from} had not begun the migration, or has forgotten it; VM ${migration.vm} is still there`,
        };
    return ended({ ...migration, phase: 'failed', failure }, now, destination.missing ? {} : { undoDestination: true });
  }
  const there = destination.missing?.vm;
  if (vm === undefined && (there === 'running' || there === 'paused')) {
    return ended({ ...migration, phase: 'completed' }, now, { vmHost: migration.to });
  }
  return { migration: { ...migration, phase: 'in-doubt' }, lookAgainInMs: 5_000 };
}

const ended = (migration: Migration, now: number, rest: Omit<Verdict, 'migration'>): Verdict => ({
  migration: { ...migration, endedAt: now },
  ...rest,
});

/** The figures of a completed migration; none where the source did not measure them. */
function resultOf(
  migration: Migration,
  { channels, begunAt = migration.orderedAt, destination }: Accounts,
  source: AttemptReport,
): MigrationResult | undefined {
  const { migrationMs, switchOverMs, switchOverErrorMs, bytesOnWire, records, cpuSeconds } = source.result ?? {};
  if (migrationMs === undefined || switchOverMs === undefined || switchOverErrorMs === undefined) return undefined;
  if (bytesOnWire === undefined || records === undefined || cpuSeconds === undefined) return undefined;
  return {
    suite: migration.suite,
    channels,
    // The source's clock starts when it is told; before that the destination was made ready.
    migrationMs: begunAt - migration.orderedAt + migrationMs,
    switchOverMs,
    switchOverErrorMs,
    bytesOnWire,
    records,
    throughputMBps: migrationMs > 0 ? bytesOnWire / 1000 / migrationMs : 0,
    cpuSeconds: { source: cpuSeconds, ...(destination.report?.result && { destination: destination.report.result.cpuSeconds }) },
  };
}
