/** `sealift host …`; draining is beside this. */
import type { Host } from '@sealift/contract';
import type { Command } from 'commander';
import { withManager } from '../context.ts';
import { behind, collected } from '../manager/pages.ts';
import { describe } from '../manual/manual.ts';
import { printJson } from '../output/io.ts';
import { printFields, printList } from '../output/table.ts';
import { addDrainCommands } from './drain.ts';
import { hostFields, hostHead, hostRow } from './render.ts';

/** The agents' port, where an address comes without one. */
const agentPort = 8652;
const withPort = (address: string): string => (/[^:]:\d+$/.test(address) ? address : `${address}:${agentPort}`);

export function addHostCommands(host: Command): void {
  describe(
    host
      .command('ls')
      .description('list all hosts')
      .option('--cluster <cluster>', 'only those of this cluster')
      .action(({ cluster }: { cluster?: string }, command: Command) =>
        withManager(command, async ({ io, manager }) =>
          printList(
            io,
            await collected<Host>((limit, last) => manager.listHosts({ query: { limit, ...(cluster && { cluster }), ...behind(last) } })),
            {
              head: hostHead,
              row: hostRow,
              empty: cluster
                ? `There is no host in cluster ${cluster}.`
                : 'There are no hosts; add one with: sealift host add NAME ADDRESS:PORT',
            },
          ),
        ),
      ),
    {
      about: [
        'Every host with its cluster, whether its agent answers, whether it is in maintenance, its load and memory, and whether it can seal. ' +
          'A host that does not answer is shown as it was last known.',
      ],
      changes: 'Nothing.',
      examples: [
        ['sealift host ls', 'all of them'],
        ['sealift host ls --cluster default --json', 'as an array, with all that the agents report'],
      ],
    },
  );

  describe(
    host
      .command('show')
      .argument('<host>', 'its name')
      .description('one host and what its agent reports')
      .action((name: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const it = await manager.getHost({ params: { host: name } });
          if (io.json) printJson(io, it);
          else printFields(io, hostFields(it));
        }),
      ),
    {
      about: [
        'Shows the host as its agent reports it: QEMU, sealing, load, memory, bridges, pools, VMs, and what the manager does not know.',
      ],
      changes: 'Nothing.',
      examples: [['sealift host show alpha', 'why it cannot seal, say']],
      exits: [3],
    },
  );

  describe(
    host
      .command('add')
      .argument('<name>', 'what to call it: the name that its certificate has')
      .argument('<address>', `where its agent answers, ADDRESS[:PORT] (port ${agentPort} where it is not said)`)
      .description('add a host by where its agent answers')
      .option('--cluster <cluster>', 'which it is to be in (default: the cluster "default")')
      .action((name: string, address: string, { cluster }: { cluster?: string }, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const added = await manager.addHost({ body: { name, endpoint: withPort(address), ...(cluster && { cluster }) } });
          if (io.json) printJson(io, added);
          else io.print(`${added.name} at ${added.endpoint} is ${added.state}${added.problem ? `: ${added.problem}` : ''}`);
        }),
      ),
    {
      about: ['The manager connects to the agent, and keeps asking it from then on. VMs that the host has are taken over with it.'],
      changes: 'The manager knows the host, and may place VMs on it.',
      examples: [
        ['sealift host add alpha 10.0.0.1', `on the usual port, ${agentPort}`],
        ['sealift host add bravo [fd00::2]:9000 --cluster lab', 'on another one, in a cluster of its own'],
      ],
      exits: [3, 4],
    },
  );

  describe(
    host
      .command('rm')
      .argument('<host>', 'its name')
      .description('forget a host that has no VM')
      .action((name: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          await manager.removeHost({ params: { host: name } });
          if (io.json) printJson(io, {});
          else io.print(`${name} is removed`);
        }),
      ),
    {
      about: ['The manager no longer asks the agent for anything. The agent is left running.'],
      changes: 'The manager forgets the host.',
      examples: [['sealift host rm alpha', 'after it was drained']],
      exits: [3, 4],
    },
  );

  addDrainCommands(host);
}
