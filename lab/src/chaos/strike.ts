/** Carries out a run's fault, and heals it. */
import { isAlive, type ProcessId } from '../system/process.ts';
import type { End, Process, Run } from './cells.ts';
import type { Ground } from './ground.ts';
import type { Condition } from './line.ts';
import { until } from './until.ts';

export interface Struck {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly heal: () => Promise<void>;
}

export interface Hosts {
  readonly source: string;
  readonly destination: string;
}

const conditions: Record<'cut' | 'cut one way' | 'slow', Condition> = { cut: 'down', 'cut one way': 'deaf', slow: 'slow' };

/** @throws Error where there is nobody to strike */
export const strike = async (ground: Ground, { cell, end }: Run, hosts: Hosts): Promise<Struck> => {
  const at = Date.now();
  if (cell.victim === 'migration link' || cell.victim === 'management link') {
    const network = cell.victim === 'migration link' ? 'mig' : 'mgmt';
    const healed = await ground.line.worsen(network, boxOf(end, hosts), conditions[cell.fault]);
    return { at, heal: healed };
  }
  const victims = await victimsOf(ground, cell.victim, hosts);
  for (const { id } of victims) process.kill(id.pid, cell.fault);
  const { signal } = ground;
  if (cell.fault === 'SIGKILL') await until(() => victims.every(({ id }) => !isAlive(id)), { withinMs: 10_000, everyMs: 5, signal });
  const heal = async (): Promise<void> => {
    if (cell.fault === 'SIGSTOP') {
      for (const { id } of victims) if (isAlive(id)) process.kill(id.pid, 'SIGCONT');
    } else {
      await Promise.all(victims.map(({ daemon }) => daemon !== undefined && ground.restart(daemon)));
    }
  };
  return { at, heal };
};

const boxOf = (end: End, { source, destination }: Hosts): string =>
  end === 'manager' ? 'manager' : end === 'source' ? source : destination;

const victimsOf = async (
  ground: Ground,
  victim: Process,
  { source, destination }: Hosts,
): Promise<readonly { readonly id: ProcessId; readonly daemon?: string }[]> => {
  const daemon = async (name: string) => ({ id: await ground.daemon(name), daemon: name });
  const qemu = async (host: string) => {
    const id = await ground.qemu(host);
    if (!id) throw new Error(`there is no QEMU at ${host} to strike`);
    return [{ id }];
  };
  switch (victim) {
    case 'source agent':
      return [await daemon(source)];
    case 'destination agent':
      return [await daemon(destination)];
    case 'both agents':
      return [await daemon(source), await daemon(destination)];
    case 'manager':
      return [await daemon('manager')];
    case 'source QEMU':
      return qemu(source);
    case 'destination QEMU':
      return qemu(destination);
  }
};
