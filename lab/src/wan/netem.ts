/**
 * The line by the kernel's netem (tc-netem(8)), where it has that: no process, and packets of any number. On the switch's ports that lead to the
 * hosts, so each direction has one of its own. It differs from the line in a process in what docs/wan.md says: jitter also reorders, and what is
 * reordered comes early in place of late.
 */
import { CommandError, run } from '../system/command.ts';
import { type Plan, switchPort } from '../topology/plan.ts';
import { type Conditions, fullFrameBytes, queueOf } from './conditions.ts';

/** What stands behind `tc qdisc replace dev PORT root`. */
export const netemWords = (conditions: Conditions): readonly string[] => {
  const { rttMs, jitterMs, bitsPerSecond, loss, reorder, down } = conditions;
  // Replacing netem by another also drops what it holds.
  if (down) return ['blackhole'];
  // netem's jitter goes both ways of the delay. Its limit is of packets, and counts those that it delays as well.
  const delayMs = rttMs / 2 + jitterMs / 2;
  const onTheWay = (bitsPerSecond / 8000) * (rttMs / 2 + jitterMs);
  const percent = (share: number): string => `${share * 100}%`;
  return [
    ...['netem', 'limit', String(Math.ceil((queueOf(conditions) + onTheWay) / fullFrameBytes))],
    ...['rate', `${Math.round(bitsPerSecond)}bit`],
    ...['delay', `${Math.round(delayMs * 1000)}us`, ...(jitterMs === 0 ? [] : [`${Math.round(jitterMs * 500)}us`])],
    ...(loss === 0 ? [] : ['loss', 'random', percent(loss)]),
    ...(reorder === 0 || delayMs === 0 ? [] : ['reorder', percent(reorder)]),
  ];
};

/** Whether this kernel has netem, by trying it in the lab's switch. */
export const hasNetem = async ({ switch: namespace }: Plan): Promise<boolean> => {
  try {
    await run('tc', ['-n', namespace, 'qdisc', 'replace', 'dev', 'lo', 'root', 'netem']);
  } catch (error) {
    if (error instanceof CommandError && /qdisc kind is unknown|No such file or directory|not found/i.test(error.message)) return false;
    throw error;
  }
  await run('tc', ['-n', namespace, 'qdisc', 'delete', 'dev', 'lo', 'root']);
  return true;
};

export const applyNetem = async (plan: Plan, conditions: Conditions): Promise<void> => {
  for (const { name, namespace } of plan.hosts) {
    // netem loses and counts what it is handed as one, up to 64 KiB of it: so it is handed frames.
    await run('ip', ['-n', namespace, 'link', 'set', 'mig0', 'gso_max_segs', '1']);
    await run('tc', ['-n', plan.switch, 'qdisc', 'replace', 'dev', switchPort('mig', name), 'root', ...netemWords(conditions)]);
  }
};
