/** How far hosts are from the mean of their cluster. */
import type { HostLoad } from '@sealift/contract';
import type { WorldHost } from './world.ts';

/** Below it, a difference is only that of sums in another order. */
const exact = 1e-5;

export class Evenness {
  /** What is used in all hosts over what there is in all: no move changes it. */
  readonly mean: HostLoad;
  readonly #band: number;

  /** @param band in hosts */
  constructor(hosts: readonly WorldHost[], band: number) {
    const sum = (of: (host: WorldHost) => number): number => hosts.reduce((total, host) => total + of(host), 0);
    const cpus = sum((host) => host.report?.cpus ?? 0);
    const memory = sum((host) => host.report?.memory.total ?? 0);
    this.mean = {
      cpu: cpus === 0 ? 0 : sum((host) => host.cpus) / cpus,
      memory: memory === 0 ? 0 : sum((host) => host.held) / memory,
      link: 0,
    };
    this.#band = band;
  }

  /** Of a host outside of the band, in hosts; 0 within it. */
  distance(host: WorldHost, cpus = 0, bytes = 0): number {
    const { report } = host;
    if (!report) return 0;
    return (
      this.#outside((host.cpus + cpus) / report.cpus - this.mean.cpu) +
      this.#outside((host.held + bytes) / report.memory.total - this.mean.memory)
    );
  }

  /** By how much a move brings down the sum of the distances. */
  gain(cpus: number, bytes: number, from: WorldHost, to: WorldHost): number {
    return this.distance(from) - this.distance(from, -cpus, -bytes) + (this.distance(to) - this.distance(to, cpus, bytes));
  }

  /** How much more it has than the mean, of both; negative where it has less. */
  lean(host: WorldHost): number {
    const { cpu, memory } = host.load();
    return cpu - this.mean.cpu + memory - this.mean.memory;
  }

  #outside(difference: number): number {
    const outside = Math.abs(difference) - this.#band;
    return outside > exact ? outside : 0;
  }
}
