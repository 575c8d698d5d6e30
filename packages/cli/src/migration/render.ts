/** A migration in words. Pure: the same migration gives the same lines, and the caller says how wide they may be and whether in colour. */
import type { Migration, MigrationPhase, MigrationProgress, MigrationResult } from '@sealift/contract';
import { formatBytes, formatDuration, formatRate } from '../output/units.ts';
import { resolutionLines } from './resolution-words.ts';

export interface Look {
  readonly columns: number;
  readonly colour: boolean;
}

const esc = String.fromCharCode(27);
const styled = (look: Look, code: number, text: string): string => (look.colour ? `${esc}[${code}m${text}${esc}[0m` : text);
const bold = 1;
const alarm = 7; // reverse video: seen on every theme

const phases: Readonly<Record<MigrationPhase, string>> = {
  preparing: 'preparing',
  connecting: 'connecting',
  copying: 'copying memory',
  'switching-over': 'switching over',
  granted: 'granted; waiting for the destination to run',
  releasing: 'releasing the source',
  completed: 'completed',
  cancelled: 'cancelled',
  failed: 'FAILED',
  'in-doubt': 'IN DOUBT: settled as soon as both hosts answer',
  lost: 'MEMORY LOST',
};

export const isSealed = ({ suite }: Pick<Migration, 'suite'>): boolean => suite !== 'none';

/** SEALED or CLEAR, and never only by colour. */
export const sealOf = (migration: Pick<Migration, 'suite'>, look: Look): string =>
  isSealed(migration) ? styled(look, bold, 'SEALED') : styled(look, alarm, 'CLEAR');

/** The loud word about a migration that is not encrypted; none where it is. */
export function clearWarning(migration: Pick<Migration, 'suite' | 'clearBecause'>, look: Look): string[] {
  if (isSealed(migration)) return [];
  const because = migration.clearBecause ? `: ${migration.clearBecause}` : '';
  return [`${styled(look, alarm, 'CLEAR')} Memory moves over the network WITHOUT encryption${because}`];
}

/** The agent's word, which is newer than the manager's record of it until the migration has ended. */
const phaseOf = ({ phase, endedAt, progress }: Migration): MigrationPhase =>
  endedAt === undefined && phase !== 'in-doubt' ? (progress?.phase ?? phase) : phase;

/** From here on the destination has all of it: what QEMU last said remains, and changes, is past. */
const isAcross = (phase: MigrationPhase): boolean => phase === 'granted' || phase === 'releasing' || phase === 'completed';

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
const leftOf = (disks: NonNullable<MigrationProgress['disks']>): number => sum(disks.map(({ remainingBytes }) => remainingBytes));

/** How much of disks and memory is there. What changes is sent again, so what remains says more than what was sent. */
export function portionDone({ ram, phase, disks = [] }: Pick<MigrationProgress, 'ram' | 'phase' | 'disks'>): number {
  if (isAcross(phase)) return 1;
  if (disks.length === 0 && (ram.total === 0 || ram.transferred === 0)) return 0;
  const total = ram.total + sum(disks.map(({ sizeBytes }) => sizeBytes));
  if (total === 0) return 0;
  // Disks go first: until memory begins, none of it is there.
  const ramLeft = ram.transferred === 0 ? ram.total : ram.remaining;
  return Math.min(1, Math.max(0, 1 - (ramLeft + leftOf(disks)) / total));
}

const bar = (portion: number, width: number): string => {
  const full = Math.floor(portion * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
};

const wholePercent = (portion: number): string => `${Math.floor(portion * 100)} %`;

/** Numbers of one moment, the most telling first: what does not fit into the width is left away from the end. */
function figures(progress: MigrationProgress): string[] {
  const { phase, ram, throughputMBps, throttlePercent, downtimeMs, bytesOnWire, elapsedMs, disks = [] } = progress;
  return [
    formatRate(throughputMBps),
    ...(isAcross(phase) || leftOf(disks) === 0 ? [] : [`${formatBytes(leftOf(disks))} of disks left`]),
    ...(isAcross(phase) || ram.total === 0
      ? []
      : [`${formatBytes(ram.remaining)} left`, `dirty ${formatRate(ram.dirtyBytesPerSecond / 1e6)}`]),
    formatDuration(elapsedMs),
    ...(throttlePercent > 0 ? [`guest slowed ${throttlePercent.toFixed(0)} %`] : []),
    `pass ${ram.passes}`,
    ...(downtimeMs === undefined || isAcross(phase) ? [] : [`budget ${downtimeMs} ms`]),
    `${formatBytes(bytesOnWire)} on the wire`,
  ];
}

const wordsOf = (phase: MigrationPhase, progress: MigrationProgress | undefined): string =>
  phase === 'copying' && progress && leftOf(progress.disks ?? []) > 0 && progress.ram.total === 0 ? 'copying disks' : phases[phase];

/** The lines that are rewritten in place on a terminal; none is longer than the terminal is wide. */
export function progressLines(migration: Migration, look: Look): string[] {
  const { vm, from, to, progress } = migration;
  const phase = phaseOf(migration);
  const title = `${vm}  ${from} → ${to}  `;
  const seal = isSealed(migration) ? 'SEALED' : 'CLEAR';
  const rest = `  ${wordsOf(phase, progress)}`.slice(0, Math.max(0, look.columns - title.length - seal.length - 1));
  const first = title + sealOf(migration, look) + rest;
  if (!progress) return [first];
  const portion = portionDone(progress);
  let second = `${bar(portion, Math.max(10, Math.min(30, look.columns - 50)))} ${wholePercent(portion).padStart(5)}`;
  for (const figure of figures(progress)) {
    if (second.length + 2 + figure.length >= look.columns) break;
    second += `  ${figure}`;
  }
  return [first, second];
}

/** One line that stands for itself, for logs and pipes. */
export function plainLine(migration: Migration): string {
  const { vm, from, to, progress } = migration;
  const seal = isSealed(migration) ? 'sealed' : 'CLEAR';
  const numbers = progress ? `: ${wholePercent(portionDone(progress))}, ${figures(progress).join(', ')}` : '';
  return `${vm} ${from} → ${to} ${seal} ${wordsOf(phaseOf(migration), progress)}${numbers}`;
}

/** Whether the plain line is due: at each change of phase, and every 5 s of the migration's own clock. */
export function isDue(migration: Migration, before: Migration | undefined): boolean {
  if (before === undefined) return true;
  if (phaseOf(migration) !== phaseOf(before)) return true;
  return (migration.progress?.elapsedMs ?? 0) - (before.progress?.elapsedMs ?? 0) >= 5000;
}

/** What came of it, for a migration that has ended. */
export function summaryLines(migration: Migration, look: Look): string[] {
  const { id, vm, from, to, phase, failure, result } = migration;
  if (migration.resolution) return [...resolutionLines(migration), `See how it is now: sealift vm show ${vm}`];
  const why = failure ? `${failure.message} (${failure.code})` : 'no reason was given';
  switch (phase) {
    case 'completed':
      return [
        `${vm} moved from ${from} to ${to}, ${sealOf(migration, look)}`,
        ...clearWas(migration),
        ...(result ? resultLines(result) : []),
      ];
    case 'cancelled':
      return [`${vm} was not moved: the migration was cancelled. It stayed at ${from}.`];
    case 'failed':
      return [
        `${vm} was not moved: ${why}. It stayed at ${from}.`,
        ...(failure?.advice === undefined ? [] : [failure.advice]),
        `Details: sealift migration show ${id}`,
      ];
    case 'lost':
      return [
        `${styled(look, alarm, 'MEMORY LOST')} ${vm} runs on neither ${from} nor ${to}: ${why}`,
        failure?.advice ?? `What it had written to its disks is there. See where it can be started again: sealift vm show ${vm}`,
      ];
    default:
      return [plainLine(migration)];
  }
}

/** What a person who waits for a migration in doubt has to know. */
export const doubtLines = ({ id, vm, from, to }: Pick<Migration, 'id' | 'vm' | 'from' | 'to'>): string[] => [
  `${vm} is in doubt: handed over by ${from}, which does not know whether ${to} runs it. It is settled by itself as soon as both answer.`,
  `Where one of them is gone for good, decide: sealift migration resolve ${id} --keep source|destination`,
];

const clearWas = (migration: Migration): string[] =>
  isSealed(migration) ? [] : [`  It was NOT encrypted${migration.clearBecause ? `: ${migration.clearBecause}` : ''}`];

function resultLines(result: MigrationResult): string[] {
  const { source, destination } = result.cpuSeconds;
  const cpu = ({ qemu, transport }: { qemu: number; transport: number }): string =>
    `QEMU ${qemu.toFixed(2)} s, channels ${transport.toFixed(2)} s`;
  return [
    `  switch-over time    ${formatDuration(result.switchOverMs)} ± ${formatDuration(result.switchOverErrorMs)}`,
    `  migration time      ${formatDuration(result.migrationMs)}`,
    `  on the wire         ${formatBytes(result.bytesOnWire)} in ${result.records} records on ${result.channels} channels, ${formatRate(result.throughputMBps)}`,
    `  CPU at source       ${cpu(source)}`,
    `  CPU at destination  ${destination ? cpu(destination) : 'unknown: it could not be asked any more'}`,
  ];
}
