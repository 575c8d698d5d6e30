/** How many migrations may go on at once: as the cluster says, or as follows from the speed of the migration links. */
import type { StoredCluster } from '../store/store.ts';
import type { SnapshotHost } from './types.ts';

export interface Limits {
  /** Out of the host and into it, together. */
  perHost(host: string): number;
  /** In the whole cluster. */
  readonly perCluster: number;
}

/**
 * Of one host whose migration links carry so much together. At 1 Gb/s four streams are enough to fill the line while one of them is busy with
 * something else than sending, at 10 Gb/s eight, beyond which each only takes longer: the numbers that vSphere has used for years.
 * Slower lines, and those of which nothing is known, get two: one that copies while another one prepares or switches over.
 */
export function derivedPerHost(linkMbps: number | undefined): number {
  if (linkMbps === undefined || linkMbps < 1000) return 2;
  return linkMbps < 10_000 ? 4 : 8;
}

/** @param hosts of the cluster */
export function limitsOf(cluster: Pick<StoredCluster, 'limits'>, hosts: readonly Pick<SnapshotHost, 'name' | 'report'>[]): Limits {
  const { perHost, perCluster } = cluster.limits;
  const derived = new Map(hosts.map(({ name, report }) => [name, perHost ?? derivedPerHost(report?.linkMbps)]));
  const ofHost = (host: string): number => derived.get(host) ?? perHost ?? derivedPerHost(undefined);
  // Each migration within the cluster takes a place at two hosts, so this much follows from the hosts' limits anyway.
  const all = [...derived.values()].reduce((sum, each) => sum + each, 0);
  return { perHost: ofHost, perCluster: perCluster ?? Math.max(1, Math.floor(all / 2)) };
}
