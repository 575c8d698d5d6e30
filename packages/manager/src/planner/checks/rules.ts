/** Would the VM on that host break a rule of placement? */
import type { Rule } from '@sealift/contract';
import { fail, pass, type Question, type Verdict, warn } from './check.ts';

export interface Broken {
  readonly rule: Rule;
  readonly why: string;
}

/** Every rule that the VM on this host would break, and how. */
export function brokenRules({ world, vm, source, target }: Question): Broken[] {
  return world.rulesOf(vm.name).flatMap((rule) => {
    const why = whyBroken(rule);
    return why === undefined ? [] : [{ rule, why }];
  });

  function whyBroken({ kind, vms, hosts }: Rule): string | undefined {
    if (kind === 'on-hosts') return hosts.includes(target.name) ? undefined : `VM ${vm.name} belongs on ${hosts.join(', ')}`;
    if (kind === 'not-on-hosts') return hosts.includes(target.name) ? `VM ${vm.name} must not be on host ${target.name}` : undefined;
    const mates = vms.filter((mate) => mate !== vm.name);
    if (kind === 'apart') {
      const there = mates.filter((mate) => world.isOn(mate, target.name));
      return there.length === 0 ? undefined : `${listed(there)} ${there.length > 1 ? 'are' : 'is'} on host ${target.name}`;
    }
    const away = mates.filter((mate) => {
      const place = world.placeOf(mate);
      // What is still on a host that is being drained follows.
      return place !== undefined && place !== target.name && !(place === source.name && source.maintenance === 'draining');
    });
    return away.length === 0 ? undefined : away.map((mate) => `VM ${mate} is on host ${world.placeOf(mate)}`).join(', ');
  }
}

export function rules(question: Question): Verdict {
  const { vm, target, world } = question;
  const broken = brokenRules(question);
  if (broken.length === 0) {
    const count = world.rulesOf(vm.name).length;
    return pass(count === 0 ? `no rule names VM ${vm.name}` : `VM ${vm.name} on host ${target.name} keeps every rule that names it`);
  }
  const reason = broken.map(({ rule, why }) => `rule ${rule.name} (${rule.kind}${rule.must ? ', must' : ''}): ${why}`).join('; ');
  const must = broken.filter(({ rule }) => rule.must).map(({ rule }) => rule.name);
  if (must.length === 0) return warn(reason, 'it is allowed, and counts against the host');
  return fail('incompatible', reason, `choose another host, or change ${must.join(', ')}: sealift rule list`, { rules: must });
}

const listed = (vms: readonly string[]): string => `VM${vms.length > 1 ? 's' : ''} ${vms.join(', ')}`;
