/**
 * A long line between two hosts: the kernel's netem where it has that, else a process in place of the switch's bridge:
 *
 *   host alpha                  sl-ID-switch                                    host bravo
 *   mig0 ── mig-alpha ─ mig ─ wan-alpha ═ the line's process ═ wan-bravo ─ mig-far ─ mig-bravo ── mig0
 *           veth       bridge     TAP                             TAP      bridge       veth
 *
 * The hosts keep their interfaces whatever becomes of the line; when its process is killed, the line is dead and the switch's ports are still up,
 * as where a provider's line is cut. The process lives in the switch's namespace, and is removed with it.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { SealiftError } from '@sealift/contract';
import { until } from '../chaos/until.ts';
import type { Lab } from '../lab/lifecycle.ts';
import { recordProcess } from '../lab/record.ts';
import { run } from '../system/command.ts';
import { isAlive, startDetached } from '../system/process.ts';
import { type Host, switchPort } from '../topology/plan.ts';
import { type Change, type Conditions, changed, formatConditions, queueOf } from './conditions.ts';
import { askLine, type LineState } from './control.ts';
import { applyNetem, hasNetem } from './netem.ts';

const program = fileURLToPath(new URL('./main.ts', import.meta.url));
const farBridge = 'mig-far';
/** Packets that wait for the line's process to be scheduled, on each device: 100 ms of small ones. What waits for the line itself is in its queue. */
const deviceQueue = 10_000;

/** Who makes the line. */
export const engines = ['netem', 'process'] as const;
export type Engine = (typeof engines)[number];

/** A line by netem has no process that knows what it was set to. */
const netemStateOf = ({ paths }: Lab): string => `${paths.run}/wan-netem.json`;
const socketOf = ({ paths }: Lab): string => `${paths.run}/wan.sock`;

/**
 * Puts a line between both hosts of a lab whose network is built and whose folders are there.
 * @param engine without it, netem where the kernel has it
 * @throws SealiftError `invalid_request` for a lab of other than two hosts
 */
export const layLine = async (lab: Lab, conditions: Conditions, signal: AbortSignal, engine?: Engine): Promise<void> => {
  const { hosts } = lab.plan;
  const [near, far] = hosts;
  if (near === undefined || far === undefined || hosts.length !== 2) {
    throw new SealiftError('invalid_request', `a line joins two hosts, and the lab "${lab.id}" has ${hosts.length}`);
  }
  if ((engine ?? ((await hasNetem(lab.plan)) ? 'netem' : 'process')) === 'process') return layProcess(lab, [near, far], conditions, signal);
  await applyNetem(lab.plan, conditions);
  await writeFile(netemStateOf(lab), JSON.stringify(conditions));
};

const layProcess = async (lab: Lab, hosts: readonly [Host, Host], conditions: Conditions, signal: AbortSignal): Promise<void> => {
  const { plan, paths } = lab;
  const taps = hosts.map(({ name }) => `wan-${name}`);
  const words = [socketOf(lab), ...taps, formatConditions(conditions)];
  const inSwitch = (...args: readonly string[]): Promise<string> => run('ip', ['-n', plan.switch, ...args]);

  const id = await startDetached('ip', ['netns', 'exec', plan.switch, process.execPath, program, ...words], paths.log('wan'));
  await recordProcess(paths.processes, { name: 'wan', ...id });
  const answers = async (): Promise<boolean> => {
    if (!isAlive(id)) throw new Error(`the line could not be laid; ${paths.log('wan')} says why`);
    return (await askLine(socketOf(lab)).catch(() => undefined)) !== undefined;
  };
  if (!(await until(answers, { withinMs: 60_000, signal }))) throw new Error(`the line does not answer; see ${paths.log('wan')}`);

  await inSwitch('link', 'add', farBridge, 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0');
  await inSwitch('link', 'set', farBridge, 'up');
  await inSwitch('link', 'set', switchPort('mig', hosts[1].name), 'master', farBridge);
  for (const [index, tap] of taps.entries()) {
    const bridge = index === 0 ? 'mig' : farBridge;
    await inSwitch('link', 'set', tap, 'txqueuelen', String(deviceQueue), 'mtu', '1500', 'master', bridge, 'up');
  }
};

/**
 * Asks a lab's line, and changes it where there is a change, which holds before this returns.
 * @throws SealiftError `not_found` where the lab has no line, or its line's process has ended
 */
export const lineOf = async (lab: Lab, change?: Change): Promise<LineState> => {
  const netem = await readFile(netemStateOf(lab), 'utf8').catch(() => undefined);
  if (netem !== undefined) return changeNetem(lab, JSON.parse(netem), change);
  try {
    return await askLine(socketOf(lab), change);
  } catch (cause) {
    const words = `no line answers in the lab "${lab.id}": it is down, was brought up without --wan, or its line was killed`;
    throw new SealiftError('not_found', `${words}. See sealift lab status --id ${lab.id}`, { cause });
  }
};

const changeNetem = async (lab: Lab, before: Conditions, change: Change | undefined): Promise<LineState> => {
  if (change === undefined) return { conditions: before, directions: [], cpuSeconds: 0 };
  const conditions = changed(before, change);
  await applyNetem(lab.plan, conditions);
  await writeFile(netemStateOf(lab), JSON.stringify(conditions));
  return { conditions, directions: [], cpuSeconds: 0 };
};

/** For people. */
export const describeLine = ({ conditions, directions }: LineState): string => {
  const told = directions.map(({ counts, failures }, index) => {
    const { offered, carried, dropped, lost, late, cut } = counts;
    const failed = failures.overflowed + failures.refused;
    const more = failed === 0 ? '' : `; ${failed} packets failed for want of memory or at the far end`;
    return `${index === 0 ? 'there' : 'back '}: ${offered} frames offered, ${carried} carried (${late} late), ${dropped} dropped by the queue, ${lost} lost, ${cut} while down${more}`;
  });
  const queue = `queue of ${(queueOf(conditions) / 1e6).toFixed(2)} MB each way`;
  if (told.length === 0) told.push('by netem, which counts: tc -s qdisc, in the namespace of the switch');
  return [`line: ${formatConditions(conditions)}; ${queue}`, ...told].join('\n  ');
};
