/**
 * Can the destination give the VM the CPU that it was started with? A guest that loses a feature while it runs crashes sooner or later.
 *
 * A definition's `cpuModel` is QEMU's `-cpu`: a model's name, then features, `Skylake-Server,+avx512f,-hle` or `qemu64,aes=on`.
 */
import type { HostReport } from '@sealift/contract';
import { fail, pass, type Reported, type Verdict, warn } from './check.ts';

type Cpu = NonNullable<HostReport['cpu']>;

/** Whatever the host has: another guest CPU on another host. */
const asTheHost: ReadonlySet<string> = new Set(['host', 'max']);

/** @param baseline of the destination's cluster, where it has one */
export function cpu({ vm, from, to }: Reported, baseline: string | undefined): Verdict {
  const there = to.cpu;
  if (!there) {
    const reason = `host ${to.name} does not say which CPU models it can give, so whether it can give ${vm.cpuModel} is not known`;
    return warn(reason, `update the agent of host ${to.name}; if it cannot, VM ${vm.name} stays where it is`);
  }
  const [model = '', ...features] = vm.cpuModel.split(',');
  const lacks = asTheHost.has(model) ? otherCpu(from, to, model) : missingOf(there, model);
  const absent = features.flatMap(wanted).filter((feature) => lacking(there).has(feature));
  const problems = [...(lacks === undefined ? [] : [lacks]), ...(absent.length > 0 ? [`it lacks ${absent.join(', ')}`] : [])];
  if (problems.length > 0) {
    const reason = `host ${to.name} (${there.model}) cannot give CPU model ${vm.cpuModel} of VM ${vm.name}: ${problems.join('; ')}`;
    const remedy = `choose a host that can, or stop VM ${vm.name} and define it with a model that all of them give`;
    return fail('incompatible', reason, remedy, { cpuModel: vm.cpuModel, host: to.name });
  }
  return baseline === undefined ? pass(`host ${to.name} gives CPU model ${vm.cpuModel} in full`) : inBaseline(vm, to, there, baseline);
}

function inBaseline(vm: Reported['vm'], to: HostReport, there: Cpu, baseline: string): Verdict {
  const lacks = missingOf(there, baseline);
  if (lacks !== undefined) {
    const reason = `host ${to.name} (${there.model}) cannot give ${baseline}, the CPU baseline of its cluster: ${lacks}`;
    return fail('incompatible', reason, 'lower the baseline, or put the host into another cluster', { baseline, host: to.name });
  }
  if (vm.cpuModel === baseline) return pass(`host ${to.name} gives CPU model ${vm.cpuModel}, its cluster's baseline`);
  const reason = `host ${to.name} gives CPU model ${vm.cpuModel}, which is not ${baseline}, the baseline of its cluster: other hosts of it may not`;
  return warn(reason, `when VM ${vm.name} is off next, define it with ${baseline}`);
}

function missingOf({ usable, missing }: Cpu, model: string): string | undefined {
  if (usable.includes(model)) return undefined;
  const features = missing[model];
  return features ? `it lacks ${features.join(', ')}` : `its QEMU does not know ${model}`;
}

function otherCpu(from: HostReport, to: HostReport, model: string): string | undefined {
  if (from.cpu?.model === to.cpu?.model) return undefined;
  return `${model} is whatever the host has, and host ${from.name} has ${from.cpu?.model ?? 'one that it does not tell'}`;
}

/** Features that a part of `-cpu` asks for. */
function wanted(part: string): string[] {
  if (part.startsWith('+')) return [part.slice(1)];
  const [feature = '', value] = part.split('=');
  return value === 'on' ? [feature] : [];
}

const known = new WeakMap<Cpu, ReadonlySet<string>>();

/** Features that some model has and this host is known to lack. */
function lacking(there: Cpu): ReadonlySet<string> {
  const before = known.get(there);
  if (before) return before;
  const all = new Set(Object.values(there.missing).flat());
  known.set(there, all);
  return all;
}
