/** Which decisions of an administrator make sense, by what both hosts say right now; and how a migration ends by one. */
import { type AttemptReport, type Keep, type Migration, type MigrationPhase, SealiftError, type VmState } from '@sealift/contract';
import type { MonitoredHost } from '../agents/monitor.ts';
import { isFinal, isInDoubt } from './merge.ts';
import { hostOf } from './resolutions.ts';

const answerMs = 5_000;

/** What a host that answers says of a migration. */
export interface Standing {
  /** Undefined where it knows nothing of the attempt. */
  readonly report: AttemptReport | undefined;
  /** How it has the VM; undefined where it has not. */
  readonly vm: VmState | undefined;
}

/** @returns undefined where it does not answer */
export async function standingOf(host: MonitoredHost, { id, vm }: Pick<Migration, 'id' | 'vm'>): Promise<Standing | undefined> {
  try {
    const { vms } = await host.ask();
    const report = await host.link.client.getAttempt({ params: { migration: id } }, AbortSignal.timeout(answerMs)).catch(unlessUnknown);
    return { report, vm: vms.find((each) => each.definition.name === vm)?.state };
  } catch {
    return undefined; // silence is what this is about, whatever its reason
  }
}

function unlessUnknown(error: unknown): undefined {
  if (!(error instanceof SealiftError && error.code === 'not_found')) throw error;
}

const beforeGrant: readonly MigrationPhase[] = ['preparing', 'connecting', 'copying', 'switching-over'];

/**
 * @param migration as the manager knows it; not ended
 * @throws SealiftError wrong_state, saying why and what to do instead
 */
export function checkResolution(migration: Migration, keep: Keep, source: Standing | undefined, destination: Standing | undefined): void {
  const { id, vm, from, to } = migration;
  const refuse = (why: string): never => {
    const details = { source: source ? (source.report?.phase ?? 'unknown') : 'silent', phase: migration.phase };
    throw new SealiftError('wrong_state', `migration ${id} of VM ${vm} is not to be decided so: ${why}`, { details });
  };
  const phase = source?.report?.phase;
  const watch = `see how it ends: sealift migration watch ${id}`;

  if (phase === 'granted' || (destination?.report?.phase === 'granted' && source)) {
    refuse(`host ${from} is handing it over to host ${to} right now; it ends, or is in doubt, within seconds. Try again then`);
  }
  if (source && destination && !isInDoubt(source.report) && !isInDoubt(destination.report) && migration.phase !== 'in-doubt') {
    const course = phase && beforeGrant.includes(phase) ? `stop it with: sealift migration cancel ${id}` : watch;
    refuse(`it is not in doubt (${phase ?? migration.phase}), and both hosts answer; ${course}`);
  }
  if (keep === 'destination' && phase && beforeGrant.includes(phase)) {
    refuse(`it is still host ${from}'s and was never handed over to host ${to}. Stop it with: sealift migration cancel ${id}`);
  }
  // What is decided for the source it has to take at once: coming back later, it may first hear that the VM runs at the destination, release it,
  // and the destination would then give up the only copy.
  const gaveUp = destination?.report && isFinal(destination.report) && ['failed', 'cancelled'].includes(destination.report.phase);
  if (keep === 'source' && !source && !gaveUp) {
    refuse(`host ${from} does not answer, so it has no copy to let run now. Decide when it does, or keep host ${to}'s, where that has one`);
  }
  if (keep === 'source' && source && destination?.report && !gaveUp) {
    refuse(`both hosts answer, so it is settled without you: by the two agents, or through this manager; ${watch}`);
  }
  if (keep === 'source' && source && !hasAtSource(source)) {
    refuse(`host ${from} answers and does not have the VM any more: nothing would be left. It is host ${to}'s; ${watch}`);
  }
  if (keep === 'destination' && destination && !hasAtDestination(destination)) {
    refuse(`host ${to} answers and does not have the VM: nothing would be left. Decide for the source, where it is not settled by itself`);
  }
  if (keep === 'destination' && source?.report && isFinal(source.report) && phase !== 'completed') {
    refuse(`host ${from} has it (${source.vm ?? 'gone'}) and the migration is over there (${phase}); ${watch}`);
  }
}

function hasAtSource({ report, vm }: Standing): boolean {
  if (vm === undefined) return false;
  return !report || !['releasing', 'completed', 'lost'].includes(report.phase);
}

function hasAtDestination({ report, vm }: Standing): boolean {
  if (vm === undefined) return false;
  if (!report) return vm === 'running' || vm === 'paused';
  return report.phase === 'in-doubt' || report.phase === 'completed' || report.phase === 'granted';
}

/** The migration as the decision ends it; the VM is the kept side's host's from then on. */
export function resolved(migration: Migration, keep: Keep, now: number): { readonly migration: Migration; readonly vmHost: string } {
  const { vm, from, to } = migration;
  const vmHost = hostOf(migration, keep);
  if (keep === 'destination') return { migration: { ...migration, phase: 'completed', endedAt: now }, vmHost };
  const failure = {
    code: 'resolved',
    message: `an administrator kept the copy of VM ${vm} at host ${from}; the one at host ${to} is given up, whatever it has done`,
    advice: `See which hosts have followed that with: sealift migration show ${migration.id}`,
  };
  return { migration: { ...migration, phase: 'failed', endedAt: now, failure }, vmHost };
}
