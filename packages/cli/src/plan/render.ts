/** Plans in words: what would be moved where, what would stay, and why. Pure but for the tables. */
import type { BalancePlan, Candidate, Check, DrainPlan, HostLoad, MigrationPlan, Move } from '@sealift/contract';
import { clearWarning, type Look, sealOf } from '../migration/render.ts';
import { formatTable, type Row } from '../output/table.ts';
import { formatBytes, formatDuration } from '../output/units.ts';

const verdicts: Readonly<Record<Check['verdict'], string>> = { pass: 'pass', warn: 'WARN', wait: 'WAIT', fail: 'FAIL' };

export const percentOf = (share: number): string => `${Math.round(share * 100)} %`;

/** Nothing stands in its way; what has to wait for something goes by itself. */
export const wouldGo = ({ to, checks }: MigrationPlan): boolean => to !== undefined && !checks.some(({ verdict }) => verdict === 'fail');

/** Each check on a line, and below those that do not pass, what to do. */
export async function checkLines(checks: readonly Check[]): Promise<string[]> {
  const width = Math.max(0, ...checks.map(({ name }) => name.length));
  return checks.flatMap(({ name, verdict, reason, remedy }) => [
    `${verdicts[verdict]}  ${name.padEnd(width)}  ${reason}`,
    ...(remedy === undefined || verdict === 'pass' ? [] : [`${' '.repeat(width + 8)}→ ${remedy}`]),
  ]);
}

const loadCells = (load: HostLoad | undefined): Row =>
  load ? [percentOf(load.cpu), percentOf(load.memory), percentOf(load.link)] : ['-', '-', '-'];

/** Why a host will not do; for one that will, what is to be known about it. */
export const objections = ({ checks }: Candidate): string =>
  checks
    .filter(({ verdict }) => verdict !== 'pass')
    .map(({ name, verdict, reason }) => `${verdicts[verdict]} ${name}: ${reason}`)
    .join('; ');

export async function candidateLines(candidates: readonly Candidate[]): Promise<string[]> {
  const rows = candidates.map((candidate) => [
    candidate.host,
    candidate.eligible ? 'yes' : 'NO',
    candidate.score === undefined ? '-' : candidate.score.toFixed(3),
    ...loadCells(candidate.load),
    objections(candidate),
  ]);
  return formatTable(['HOST', 'ELIGIBLE', 'SCORE', 'CPU', 'MEMORY', 'LINK', 'BECAUSE'], rows);
}

export async function planLines(plan: MigrationPlan, look: Look): Promise<string[]> {
  const { vm, from, to, suite, estimate, checks, candidates, why } = plan;
  const seal = suite === undefined ? '' : `  ${sealOf({ suite }, look)}`;
  const head = to === undefined ? `${vm}  ${from} → nowhere: it would NOT be moved` : `${vm}  ${from} → ${to}${seal}`;
  const refused = to !== undefined && !wouldGo(plan) ? ['It would NOT be moved: a check fails.'] : [];
  return [
    head,
    ...(suite === undefined
      ? []
      : clearWarning({ suite, ...(plan.clearBecause !== undefined && { clearBecause: plan.clearBecause }) }, look)),
    ...refused,
    why,
    ...(estimate ? [`About ${formatBytes(estimate.bytes)} in ${formatDuration(estimate.ms)}`] : []),
    '',
    `Checks${to === undefined ? '' : ` for ${to}`}:`,
    ...indent(await checkLines(checks)),
    ...(candidates.length > 0 ? ['', 'Hosts that were considered, the best first:', ...indent(await candidateLines(candidates))] : []),
  ];
}

const indent = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);

/** Moves in their order, and loudly which of them would be clear. */
export async function moveLines(moves: readonly Move[], look: Look): Promise<string[]> {
  if (moves.length === 0) return [];
  const rows = moves.map(({ vm, from, to, suite, estimate, why }, n) => [
    n + 1,
    vm,
    from,
    to,
    suite === 'none' ? 'CLEAR' : 'sealed',
    estimate ? formatBytes(estimate.bytes) : '-',
    estimate ? formatDuration(estimate.ms) : '-',
    why,
  ]);
  return [
    ...(await formatTable(['', 'VM', 'FROM', 'TO', 'DATA', 'SIZE', 'TIME', 'WHY'], rows)),
    ...moves
      .filter(({ suite }) => suite === 'none')
      .flatMap((move) => clearWarning(move, look).map((line) => `${line} (${move.vm}, ${move.from} → ${move.to})`)),
  ];
}

export async function drainPlanLines({ host, moves, stays }: DrainPlan, look: Look): Promise<string[]> {
  const left = stays.flatMap(({ vm, why, candidates }) => [
    `  ${vm}: ${why}`,
    ...candidates.filter(({ eligible }) => !eligible).map((each) => `      ${each.host}: ${objections(each) || 'it will not do'}`),
  ]);
  if (moves.length === 0 && stays.length === 0) return [`${host} has no VM: it would go into maintenance at once`];
  return [
    moves.length === 0 ? `No VM can leave ${host}` : `${moves.length} of ${moves.length + stays.length} VMs would leave ${host}:`,
    ...(await moveLines(moves, look)),
    ...(left.length > 0 ? ['', `CANNOT LEAVE ${host}:`, ...left] : []),
  ];
}

export async function balancePlanLines(plan: BalancePlan, look: Look): Promise<string[]> {
  const after = new Map(plan.after.map(({ host, load }) => [host, load]));
  const rows = plan.before.map(({ host, load }) => {
    const then = after.get(host);
    const change = (of: keyof HostLoad): string =>
      then && percentOf(then[of]) !== percentOf(load[of]) ? `${percentOf(load[of])} → ${percentOf(then[of])}` : percentOf(load[of]);
    return [host, change('cpu'), change('memory'), change('link')];
  });
  return [
    `${plan.cluster}: ${plan.why}`,
    ...(plan.moves.length > 0 ? ['', ...(await moveLines(plan.moves, look))] : []),
    '',
    ...(await formatTable(['HOST', 'CPU', 'MEMORY', 'LINK'], rows)),
    '',
    plan.balanced ? 'Every host is within the band then.' : 'NOT every host is within the band then.',
  ];
}
