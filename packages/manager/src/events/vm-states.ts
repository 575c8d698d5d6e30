/** Which VMs of a host are in another state than it last said, migrations aside: those tell of themselves. */
import type { AgentVm, VmState } from '@sealift/contract';

const passing: readonly VmState[] = ['moving-in', 'moving-out'];

export class VmStates {
  readonly #known = new Map<string, VmState>();

  /** @returns those that are known from before and have changed */
  changed(vms: readonly AgentVm[]): { readonly vm: string; readonly state: VmState; readonly before: VmState }[] {
    const there = new Set(vms.map(({ definition }) => definition.name));
    for (const name of this.#known.keys()) if (!there.has(name)) this.#known.delete(name);
    return vms.flatMap(({ definition: { name: vm }, state }) => {
      const before = this.#known.get(vm);
      if (passing.includes(state) || before === state) return [];
      this.#known.set(vm, state);
      return before === undefined ? [] : [{ vm, state, before }];
    });
  }
}
