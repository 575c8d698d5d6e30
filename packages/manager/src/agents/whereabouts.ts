/** Which hosts have which VMs, as those that answer last said: kept up with each report, so that nobody has to look through all of them. */
import type { AgentVm, Sighting } from '@sealift/contract';

export class Whereabouts {
  readonly #byVm = new Map<string, Sighting[]>();
  /** What each host that answers was last said to have. */
  readonly #has = new Map<string, readonly string[]>();
  #silent: ReadonlySet<string> = new Set();

  /** A host has said this, mostly what it said before. */
  heard(host: string, vms: readonly AgentVm[]): void {
    this.#setSilent(host, false);
    if (this.#isKnown(host, vms)) return;
    this.#take(host);
    for (const { definition, state, pid } of vms) this.#put(definition.name, { host, state, ...(pid !== undefined && { pid }) });
    this.#has.set(
      host,
      vms.map(({ definition }) => definition.name),
    );
  }

  /** A host does not answer: what it said before is not how it is. */
  fell(host: string): void {
    this.#setSilent(host, true);
    this.#take(host);
  }

  /** A host is none of ours any more. */
  forget(host: string): void {
    this.#setSilent(host, false);
    this.#take(host);
  }

  /** By the hosts' names. */
  of(vm: string): readonly Sighting[] {
    return this.#byVm.get(vm) ?? [];
  }

  answers(host: string): boolean {
    return this.#has.has(host);
  }

  /** Hosts that do not answer, by name. Another set once one more does, or one less. */
  get silent(): ReadonlySet<string> {
    return this.#silent;
  }

  #isKnown(host: string, vms: readonly AgentVm[]): boolean {
    const names = this.#has.get(host);
    if (names?.length !== vms.length) return false;
    return vms.every(({ definition: { name }, state, pid }, index) => {
      const there = name === names[index] ? this.#byVm.get(name)?.find((each) => each.host === host) : undefined;
      return there !== undefined && there.state === state && there.pid === pid;
    });
  }

  #put(vm: string, sighting: Sighting): void {
    const known = this.#byVm.get(vm);
    if (!known) {
      this.#byVm.set(vm, [sighting]);
      return;
    }
    const behind = known.findIndex(({ host }) => host > sighting.host);
    known.splice(behind < 0 ? known.length : behind, 0, sighting);
  }

  #take(host: string): void {
    for (const vm of this.#has.get(host) ?? []) {
      const others = (this.#byVm.get(vm) ?? []).filter((each) => each.host !== host);
      if (others.length > 0) this.#byVm.set(vm, others);
      else this.#byVm.delete(vm);
    }
    this.#has.delete(host);
  }

  #setSilent(host: string, silent: boolean): void {
    if (this.#silent.has(host) === silent) return;
    const names = [...this.#silent].filter((name) => name !== host);
    this.#silent = new Set(silent ? [...names, host].sort() : names);
  }
}
