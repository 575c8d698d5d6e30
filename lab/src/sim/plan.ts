/**
 * A simulated site: which hosts, clusters and VMs there are. Everything follows from three numbers, so that whoever fills a manager's database and
 * the process that plays the agents come to the same site by themselves.
 */
import type { VmDefinition } from '@sealift/contract';

export interface SimSize {
  readonly hosts: number;
  readonly vms: number;
}

export interface SimHostPlan {
  readonly name: string;
  readonly cluster: string;
  readonly vms: readonly VmDefinition[];
}

/** Hosts of one cluster. */
const clusterHosts = 128;
/** VMs of the first cluster where the site has 40,000; in proportion where it has not. */
const firstClusterShare = 5_000 / 40_000;
/** Of the first host, where there are that many: the one to be drained. */
const drainedVms = 100;

/** A generator of numbers from 0 to 1 that is the same on every run: mulberry32. */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const padded = (index: number): string => String(index).padStart(5, '0');

/** In the first cluster a quarter of the hosts has most of the VMs, so that there is something to balance; elsewhere they are spread evenly. */
export function planSite({ hosts, vms }: SimSize): SimHostPlan[] {
  const next = numbers(1);
  const first = Math.min(clusterHosts, hosts);
  const inFirst = hosts > first ? Math.round(vms * firstClusterShare) : vms;
  const drained = Math.min(drainedVms, Math.floor(inFirst / 2));
  const definitions: VmDefinition[][] = Array.from({ length: hosts }, () => []);
  for (let index = 0; index < vms; index++) {
    definitions[hostOf(index)]?.push(definitionOf(index, next()));
  }
  return definitions.map((each, index) => ({
    name: `host-${padded(index)}`,
    cluster: `cluster-${String(Math.floor(index / clusterHosts)).padStart(2, '0')}`,
    vms: each,
  }));

  function hostOf(index: number): number {
    if (index < drained) return 0;
    if (index >= inFirst) return first + ((index - inFirst) % (hosts - first));
    if (first === 1) return 0;
    const crowded = Math.max(1, Math.floor(first / 4));
    return 1 + Math.floor(next() * (next() < 0.6 ? Math.min(crowded, first - 1) : first - 1));
  }
}

const definitionOf = (index: number, chance: number): VmDefinition => ({
  name: `vm-${padded(index)}`,
  memoryMiB: [1024, 2048, 4096, 8192][Math.floor(chance * 4)] ?? 1024,
  vcpus: 4,
  cpuModel: 'qemu64',
  machine: 'pc-q35-7.2',
  disks: [{ path: `/srv/shared/vm-${padded(index)}.qcow2`, format: 'qcow2', shared: true }],
  nics: [{ bridge: 'br0', mac: `52:54:00:${[16, 8, 0].map((shift) => ((index >> shift) & 255).toString(16).padStart(2, '0')).join(':')}` }],
  encryption: 'opportunistic',
});
