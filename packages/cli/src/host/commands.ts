/** `sealift host …` */
import type { Host } from '@sealift/contract';
import type { Command } from 'commander';
import { withManager } from '../context.ts';
import { type Io, printJson } from '../output/io.ts';
import { printFields, printList, type Row } from '../output/table.ts';
import { formatBytes, formatTime } from '../output/units.ts';

/** The agents' port, where an address comes without one. */
const agentPort = 8652;
const withPort = (address: string): string => (/[^:]:\d+$/.test(address) ? address : `${address}:${agentPort}`);

export function addHostCommands(host: Command): void {
  host
    .command('ls')
    .description('list all hosts')
    .action((_options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) =>
        printList(io, await manager.listHosts(), {
          head: ['NAME', 'AGENT', 'STATE', 'QEMU', 'CPUS', 'MEMORY', 'AVAILABLE', 'VMS', 'SEALS'],
          row: hostRow,
          empty: 'There are no hosts; add one with: sealift host add NAME ADDRESS:PORT',
        }),
      ),
    );

  host
    .command('show <name>')
    .description('one host and what its agent reports')
    .action((name: string, _options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) => {
        const it = await manager.getHost({ params: { host: name } });
        if (io.json) printJson(io, it);
        else printDetails(io, it);
      }),
    );

  host
    .command('add <name> <address>')
    .description(`add a host by where its agent answers, ADDRESS[:PORT] (port ${agentPort} where it is not said)`)
    .action((name: string, address: string, _options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) => {
        const added = await manager.addHost({ body: { name, endpoint: withPort(address) } });
        if (io.json) printJson(io, added);
        else io.print(`${added.name} at ${added.endpoint} is ${added.state}${added.problem ? `: ${added.problem}` : ''}`);
      }),
    );

  host
    .command('rm <name>')
    .description('forget a host that has no VM')
    .action((name: string, _options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) => {
        await manager.removeHost({ params: { host: name } });
        if (io.json) printJson(io, {});
        else io.print(`${name} is removed`);
      }),
    );
}

function hostRow({ name, endpoint, state, report }: Host): Row {
  if (!report) return [name, endpoint, state, '-', '-', '-', '-', '-', '-'];
  const { qemu, cpus, memory, vms, canSeal } = report;
  const { version, accel } = qemu;
  return [
    name,
    endpoint,
    state,
    `${version} ${accel}`,
    cpus,
    formatBytes(memory.total),
    formatBytes(memory.available),
    vms.length,
    canSeal ? 'yes' : 'NO',
  ];
}

function printDetails(io: Io, { name, endpoint, state, problem, lastSeenAt, report, unknownVms }: Host): void {
  printFields(io, {
    name,
    agent: endpoint,
    state,
    problem,
    'last seen': lastSeenAt === undefined ? undefined : formatTime(lastSeenAt),
    version: report?.version,
    'key hash': report?.keyHash,
    qemu: report && `${report.qemu.version} (${report.qemu.accel})`,
    'can seal': report && (report.canSeal ? 'yes' : 'NO: migrations with this host are clear'),
    UNSAFE: report?.unsafe?.join('; '),
    cpus: report?.cpus,
    memory: report && `${formatBytes(report.memory.total)}, ${formatBytes(report.memory.available)} available`,
    bridges: report?.bridges.join(' ') || undefined,
    'migrates on': report?.migrationEndpoints.join(' '),
    vms: report?.vms.map(({ definition, state: vmState }) => `${definition.name} (${vmState})`).join(' ') || undefined,
    UNKNOWN: unknownVms && `the manager does not know ${unknownVms.join(', ')}; nothing is done about that by itself`,
  });
}
