/** What a check is given, and how it answers. */
import { type Check, type CheckName, type ErrorCode, type HostReport, SealiftError, type VmDefinition } from '@sealift/contract';
import type { SnapshotVm } from '../types.ts';
import type { World, WorldHost } from '../world.ts';

/** One VM, from one host to another. */
export interface Question {
  readonly world: World;
  readonly vm: SnapshotVm;
  readonly source: WorldHost;
  readonly target: WorldHost;
  /** Was it ordered to move without encryption? */
  readonly clear: boolean;
  readonly multifdChannels: number;
}

/** For what is asked of both hosts' reports. */
export interface Reported {
  readonly vm: VmDefinition;
  readonly from: HostReport;
  readonly to: HostReport;
}

export interface Failed {
  readonly verdict: 'fail';
  readonly reason: string;
  readonly remedy: string;
  /** That a refused order is answered with. */
  readonly code: ErrorCode;
  readonly details?: Record<string, unknown>;
}

export type Verdict = { readonly verdict: 'pass' | 'warn' | 'wait'; readonly reason: string; readonly remedy?: string } | Failed;

/** A check as it came out. */
export type Judged = Verdict & { readonly name: CheckName };

export const pass = (reason: string): Verdict => ({ verdict: 'pass', reason });
export const warn = (reason: string, remedy?: string): Verdict => ({ verdict: 'warn', reason, ...(remedy !== undefined && { remedy }) });

export const fail = (code: ErrorCode, reason: string, remedy: string, details?: Record<string, unknown>): Failed => ({
  verdict: 'fail',
  code,
  reason,
  remedy,
  ...(details && { details }),
});

/** As the API shows it. */
export const shown = ({ name, verdict, reason, remedy }: Judged): Check => ({
  name,
  verdict,
  reason,
  ...(remedy !== undefined && { remedy }),
});

/** The error of an order that these checks do not let pass: the first that fails says it, the others are named too. */
export function refusalOf(judged: readonly Judged[]): SealiftError | undefined {
  const failed = judged.filter((each) => each.verdict === 'fail');
  const [first, ...others] = failed;
  if (!first) return undefined;
  const more = others.map(({ name, reason }) => ` Also (${name}): ${reason}.`).join('');
  const message = `${sentenceOf(first)}${more && `.${more}`}`;
  return new SealiftError(first.code, message, { details: { ...first.details, checks: failed.map(shown) } });
}

/** The error where nothing but this one check was made. */
export function unlessFailed(verdict: Verdict): void {
  if (verdict.verdict === 'fail')
    throw new SealiftError(verdict.code, sentenceOf(verdict), verdict.details && { details: verdict.details });
}

const sentenceOf = ({ reason, remedy }: Failed): string => `${reason}; ${remedy}`;
