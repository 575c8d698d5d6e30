/** The limits of every host, as they are now. */
import type { Hosts } from '../agents/hosts.ts';
import type { Planning } from './planning.ts';
import type { LimitedHost } from './slots.ts';

export async function limitsOfAll(hosts: Hosts, planning: Planning): Promise<Map<string, LimitedHost>> {
  const all = hosts.all();
  const clusters = [...new Set(all.map(({ cluster }) => cluster))];
  const limits = new Map(await Promise.all(clusters.map(async (cluster) => [cluster, await planning.limits(cluster)] as const)));
  return new Map(
    all.flatMap(({ name, cluster }) => {
      const known = limits.get(cluster);
      return known ? [[name, { cluster, perHost: known.perHost(name), perCluster: known.perCluster }] as const] : [];
    }),
  );
}
