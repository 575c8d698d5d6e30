/** A cluster in words. Pure. */
import type { Cluster } from '@sealift/contract';
import { formatDuration } from '../output/units.ts';

export const cpuOf = ({ cpuBaseline }: Cluster): string => cpuBaseline ?? '-';

const limitOf = (limit: number | undefined): string => (limit === undefined ? 'by link speed' : String(limit));

export const fieldsOf = (it: Cluster): Record<string, string | undefined> => ({
  name: it.name,
  encryption: it.encryption,
  'cpu baseline': it.cpuBaseline ?? 'none',
  'migrations at once per host': limitOf(it.limits.perHost),
  'migrations at once in the cluster': limitOf(it.limits.perCluster),
  balance: it.balance.auto ? 'by itself' : 'only when it is ordered',
  band: `${it.balance.bandPercent} % around the mean`,
  rest: `${formatDuration(it.balance.restMs)} after a move`,
  hosts: it.hosts.join(' ') || undefined,
});
