/** Is the VM in a state to be moved, and are both hosts there? */
import type { World, WorldHost } from '../world.ts';
import { fail, pass, type Question, type Verdict } from './check.ts';

export function vmState({ world, vm, source }: Question): Verdict {
  const { name, state } = vm;
  const migration = world.migrations.get(name);
  if (migration) {
    const { id, from, to, phase } = migration;
    const reason = `VM ${name} is already moving from host ${from} to host ${to} (${phase})`;
    return fail('migrating', reason, `wait for migration ${id}, or cancel it: sealift migration cancel ${id}`, { migration: id, phase });
  }
  if (state === 'running' || state === 'paused') {
    if (vm.known) return pass(`VM ${name} is ${state} on host ${source.name}`);
    const reason = `host ${source.name} has a VM ${name} that the manager does not have there`;
    return fail('wrong_state', reason, `see what is known of it: sealift vm show ${name}; sealift host show ${source.name}`);
  }
  if (source.state !== 'connected') {
    const reason = `how VM ${name} is, is not known: host ${source.name} does not answer`;
    return fail('agent_unreachable', reason, `bring the host back; see sealift host show ${source.name}`);
  }
  if (state === 'unknown') {
    const reason = `VM ${name} is not to be found on host ${source.name}, where the manager has it`;
    return fail('wrong_state', reason, `see where it is: sealift vm show ${name}`, { state });
  }
  const off = state === 'stopped' || state === 'crashed';
  const remedy = off ? 'only a running VM can be moved, so start it first' : `see what it waits for: sealift vm show ${name}`;
  return fail('wrong_state', `VM ${name} is ${state} on host ${source.name}`, remedy, { state });
}

export function hostState({ vm, source, target }: Question): Verdict {
  for (const host of [source, target]) {
    if (host.state === 'connected' && host.report) continue;
    const reason = `host ${host.name} does not answer`;
    return fail('agent_unreachable', reason, `see why: sealift host show ${host.name}`, { host: host.name });
  }
  if (target.maintenance !== 'none') {
    const how = target.maintenance === 'draining' ? 'is being drained' : 'is in maintenance';
    const remedy = `choose another host, or take it out of maintenance: sealift host undrain ${target.name}`;
    return fail('wrong_state', `host ${target.name} ${how}, and is given no VM`, remedy, { maintenance: target.maintenance });
  }
  if (target.has.has(vm.name)) {
    const reason = `host ${target.name} already has a VM ${vm.name}; ${source.name}'s cannot move there`;
    return fail('already_exists', reason, `see which is which: sealift vm show ${vm.name}`);
  }
  return pass(`host ${target.name} answers, and takes VMs`);
}

/** A limit that is reached holds a migration back; it does not forbid it. */
export function concurrency({ world, source, target }: Question): Verdict {
  const full = [hostFull(world, source), hostFull(world, target), clusterFull(world, source)];
  if (target.cluster !== source.cluster) full.push(clusterFull(world, target));
  const reasons = full.filter((reason) => reason !== undefined);
  if (reasons.length === 0) return pass(`hosts ${source.name} and ${target.name} have room for another migration at the same time`);
  return {
    verdict: 'wait',
    reason: reasons.join('; '),
    remedy: 'a drain or a balance waits until one of them has ended; an order of its own goes ahead, and all of them take longer',
  };
}

function hostFull(world: World, { name, cluster, migrations }: WorldHost): string | undefined {
  const limit = world.limitsOf(cluster).perHost(name);
  return migrations < limit ? undefined : `host ${name} takes part in ${migrations} migrations, of ${limit} at once`;
}

function clusterFull(world: World, { cluster }: WorldHost): string | undefined {
  const [now, limit] = [world.migrationsIn(cluster), world.limitsOf(cluster).perCluster];
  return now < limit ? undefined : `cluster ${cluster} has ${now} migrations, of ${limit} at once`;
}
