/** A host in words. Pure. */
import type { Host } from '@sealift/contract';
import type { Row } from '../output/table.ts';
import { formatBytes, formatRate, formatTime } from '../output/units.ts';

export const hostHead = ['NAME', 'CLUSTER', 'STATE', 'MAINTENANCE', 'QEMU', 'CPUS', 'LOAD', 'MEMORY', 'AVAILABLE', 'VMS', 'SEALS', 'AGENT'];

const percent = (share: number): string => `${Math.round(share * 100)} %`;

export function hostRow({ name, endpoint, state, cluster, maintenance, report }: Host): Row {
  const whole = (cells: Row): Row => [name, cluster, state, maintenance === 'none' ? '-' : maintenance, ...cells, endpoint];
  if (!report) return whole(['-', '-', '-', '-', '-', '-', '-']);
  const { qemu, cpus, load, memory, vms, canSeal } = report;
  return whole([
    `${qemu.version} ${qemu.accel}`,
    cpus,
    load ? percent(load.cpu) : '-',
    formatBytes(memory.total),
    formatBytes(memory.available),
    vms.length,
    canSeal ? 'yes' : 'NO',
  ]);
}

function loadOf({ load, linkMbps }: NonNullable<Host['report']>): string | undefined {
  if (!load) return undefined;
  const speed = linkMbps ? ` of ${formatRate(linkMbps / 8)}` : '';
  return `CPUs ${percent(load.cpu)}, migration links ${formatRate(load.linkBytesPerSecond / 1e6)}${speed}`;
}

function sealingOf({ canSeal, cannotSealBecause, aesInstructions }: NonNullable<Host['report']>): string {
  if (!canSeal) return `NO${cannotSealBecause ? ` (${cannotSealBecause})` : ''}: migrations with this host are clear`;
  return aesInstructions === false ? 'yes, slowly: its CPUs have no instructions for AES' : 'yes';
}

const maintenances: Readonly<Record<Host['maintenance'], string | undefined>> = {
  none: undefined,
  draining: 'VMs are leaving; none is placed here',
  maintenance: 'in maintenance: no VM is placed here',
};

export function hostFields({ name, endpoint, state, cluster, maintenance, problem, lastSeenAt, report, unknownVms }: Host) {
  const pools = report?.pools ?? [];
  return {
    name,
    agent: endpoint,
    cluster,
    state,
    maintenance: maintenances[maintenance],
    problem,
    'last seen': lastSeenAt === undefined ? undefined : formatTime(lastSeenAt),
    version: report?.version,
    'key hash': report?.keyHash,
    qemu: report && `${report.qemu.version} (${report.qemu.accel})`,
    'can seal': report && sealingOf(report),
    UNSAFE: report?.unsafe?.join('; '),
    cpu: report?.cpu?.model,
    cpus: report?.cpus,
    load: report && loadOf(report),
    memory: report && `${formatBytes(report.memory.total)}, ${formatBytes(report.memory.available)} available`,
    bridges: report?.bridges.join(' ') || undefined,
    'migrates on': report?.migrationEndpoints.join(' '),
    ...Object.fromEntries(
      pools.map((pool) => [`pool ${pool.name}`, `${pool.path}, ${formatBytes(pool.available)} of ${formatBytes(pool.total)} available`]),
    ),
    vms: report?.vms.map(({ definition, state: vmState }) => `${definition.name} (${vmState})`).join(' ') || undefined,
    UNKNOWN: unknownVms && `the manager does not know ${unknownVms.join(', ')}; nothing is done about that by itself`,
  };
}
