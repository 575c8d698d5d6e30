/** How many migrations may begin now: per host, where out and in count together, and per cluster. */
import type { Migration } from '@sealift/contract';

type Route = Pick<Migration, 'from' | 'to'>;

export interface Limits {
  readonly perHost: number;
  readonly perCluster: number;
}

export interface LimitedHost extends Limits {
  readonly cluster: string;
}

export class Slots {
  readonly #running: Route[];
  readonly #hosts: ReadonlyMap<string, LimitedHost>;

  /** @param running migrations that have not ended, whoever ordered them */
  constructor(running: readonly Route[], hosts: ReadonlyMap<string, LimitedHost>) {
    this.#running = [...running];
    this.#hosts = hosts;
  }

  /** Takes one for this move. @returns why there is none, in words; undefined where it was taken */
  take(move: Route): string | undefined {
    for (const name of [move.from, move.to]) {
      const host = this.#hosts.get(name);
      if (!host) return `host ${name} is not known`;
      const busy = this.#running.filter(({ from, to }) => from === name || to === name).length;
      if (busy >= host.perHost) return `host ${name} has ${busy} migrations of at most ${host.perHost} at once`;
      const inCluster = this.#running.filter(({ from, to }) => [from, to].some((each) => this.#hosts.get(each)?.cluster === host.cluster));
      if (inCluster.length >= host.perCluster)
        return `cluster ${host.cluster} has ${inCluster.length} migrations of at most ${host.perCluster} at once`;
    }
    this.#running.push(move);
    return undefined;
  }
}
