/** What an administrator is told before and after deciding a migration. Pure. */
import type { Host, Keep, Migration } from '@sealift/contract';
import { formatTime } from '../output/units.ts';

/** How a host has the VM, as last known and since when. */
export function standingLine(name: string, host: Host | undefined, vm: string): string {
  if (!host) return `${name}: the manager does not know this host any more`;
  const last = host.report?.vms.find(({ definition }) => definition.name === vm)?.state;
  const has = host.report ? (last ? `${vm} is ${last}` : `it has no ${vm}`) : undefined;
  if (host.state === 'connected') return `${name}: answers; ${has ?? 'has not said yet what it has'}`;
  const since = host.lastSeenAt === undefined ? '' : ` since ${formatTime(host.lastSeenAt)}`;
  return `${name}: DOES NOT ANSWER${since} (${host.problem ?? 'no reason known'}); ${has ? `last known: ${has}` : 'what it has is not known'}`;
}

interface Hosts {
  readonly source: Host | undefined;
  readonly destination: Host | undefined;
}

/** What deciding so may cost, in plain words. */
export function riskLines({ vm, from, to }: Pick<Migration, 'vm' | 'from' | 'to'>, keep: Keep, hosts: Hosts): string[] {
  const silent = (host: Host | undefined): boolean => host?.state !== 'connected';
  if (keep === 'source') {
    const there = hosts.destination?.report?.vms.find(({ definition }) => definition.name === vm)?.state;
    const runs = !silent(hosts.destination) && (there === 'running' || there === 'paused');
    return [
      `Keeping the source's copy: ${from}'s ${vm} is the VM, and runs on from the moment at which it was handed over.`,
      ...(silent(hosts.source) ? [`${from} does not answer: if it does not have ${vm} any more, the VM's memory is lost.`] : []),
      ...(silent(hosts.destination)
        ? [
            `If ${to} still runs ${vm}, TWO COPIES RUN until ${to} is back, both writing to shared disks. Switch ${to} off first if you can.`,
            `When ${to} is back its copy is destroyed, and everything that it did since the handover is thrown away.`,
          ]
        : [
            runs
              ? `${to} HAS ${vm} NOW (${there}): that copy is destroyed, and everything that it did since the handover is thrown away.`
              : `Whatever ${to} has of ${vm} is destroyed now.`,
          ]),
    ];
  }
  return [
    `Keeping the destination's copy: ${to}'s ${vm} is the VM.`,
    silent(hosts.source)
      ? `The paused copy at ${from} is destroyed as soon as ${from} answers.`
      : `The paused copy at ${from} is destroyed now. There is no way back to it.`,
    ...(silent(hosts.destination) ? [`${to} does not answer: IF IT DOES NOT HAVE ${vm}, THE VM'S MEMORY IS LOST.`] : []),
  ];
}

/** What has been decided, and who has not heard of it yet. */
export function resolutionLines({ id, vm, from, to, resolution }: Migration): string[] {
  if (!resolution) return [];
  const { keep, at, waitingFor, refused } = resolution;
  const [kept, other] = keep === 'source' ? [from, to] : [to, from];
  const heard = waitingFor.map((host) =>
    host === kept
      ? `  ${host} has not heard of it yet; it is told as soon as it answers, and keeps its copy then`
      : `  ${host} has not heard of it yet; it is told as soon as it answers, and gives its copy up then. Until then that may run`,
  );
  return [
    `An administrator decided at ${formatTime(at)}: ${vm} is ${kept}'s, and ${other}'s copy is given up`,
    ...heard,
    ...(refused ?? []).map((words) => `  ${words}`),
    ...(waitingFor.length > 0 ? [`  See later who has heard: sealift migration show ${id}`] : []),
  ];
}
