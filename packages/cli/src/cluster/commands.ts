/** `sealift cluster …` but for balance, which is beside this. */
import type { Cluster, ClusterChange } from '@sealift/contract';
import { type Command, Option } from 'commander';
import { type Context, withManager } from '../context.ts';
import { UsageError } from '../exit-codes.ts';
import { unlessUnknown } from '../manager/unless-unknown.ts';
import { describe } from '../manual/manual.ts';
import { atLeastOne, duration, numberOrDefault, onOrOff } from '../options.ts';
import { printJson } from '../output/io.ts';
import { printFields, printList } from '../output/table.ts';
import { addBalanceCommand } from './balance.ts';
import { cpuOf, fieldsOf } from './render.ts';

interface SetOptions {
  readonly encryption?: Cluster['encryption'];
  readonly cpuBaseline?: string;
  readonly maxPerHost?: number | 'default';
  readonly maxPerCluster?: number | 'default';
  readonly band?: number;
  readonly auto?: boolean;
  readonly rest?: number;
}

export function addClusterCommands(cluster: Command): void {
  describe(
    cluster
      .command('ls')
      .description('list all clusters')
      .action((_options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) =>
          printList(io, await manager.listClusters(), {
            head: ['NAME', 'HOSTS', 'ENCRYPTION', 'CPU BASELINE', 'BALANCE'],
            row: (it) => [it.name, it.hosts.length, it.encryption, cpuOf(it), it.balance.auto ? 'auto' : 'by order'],
            empty: 'There are no clusters.',
          }),
        ),
      ),
    {
      about: [
        'A cluster is hosts among which VMs are placed and balanced, and what holds for all of them. Each host is in one; "default" is always there.',
      ],
      changes: 'Nothing.',
      examples: [['sealift cluster ls', 'all of them']],
    },
  );

  describe(
    cluster
      .command('show')
      .argument('<cluster>', 'its name')
      .description('one cluster with its settings and hosts')
      .action((name: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const it = await manager.getCluster({ params: { cluster: name } });
          if (io.json) printJson(io, it);
          else printFields(io, fieldsOf(it));
        }),
      ),
    {
      about: ['Shows what holds for VMs and hosts of the cluster.'],
      changes: 'Nothing.',
      examples: [['sealift cluster show default', 'the one that is always there']],
      exits: [3],
    },
  );

  describe(
    cluster
      .command('set')
      .argument('<cluster>', 'its name; a new one is made')
      .description('change settings of a cluster, or make one')
      .addOption(
        new Option('--encryption <mode>', 'of VMs whose own definition does not say').choices(['disabled', 'opportunistic', 'required']),
      )
      .option('--cpu-baseline <model>', 'the CPU model that every host must be able to give, or none')
      .option('--max-per-host <n>', 'migrations at once out of and into one host; default: by the speed of its links', numberOrDefault)
      .option('--max-per-cluster <n>', 'migrations at once in the whole cluster; default: no further limit', numberOrDefault)
      .option('--band <percent>', 'how far a host may be from the mean load before a move is worth it, 1 to 100', atLeastOne)
      .option('--auto <on|off>', 'carry out what balancing proposes, without being asked', onOrOff)
      .option('--rest <time>', 'leave a VM alone for this long after a move, such as 90s, 10m or 1h', duration)
      .action((name: string, options: SetOptions, command: Command) =>
        withManager(command, (context) => setCluster(context, name, options)),
      ),
    {
      about: [
        'Changes what is said and leaves the rest as it is. A cluster that is not there is made, with defaults for what is left out; put hosts ' +
          'into it with host add --cluster.',
        'The encryption mode holds for VMs whose definition has none: required moves only between hosts that can seal, opportunistic seals ' +
          'wherever both can and otherwise moves in the clear and says so, disabled moves in the clear.',
      ],
      changes: 'The settings, for migrations, placements and balancing from now on. Migrations that run are left alone.',
      examples: [
        ['sealift cluster set default --encryption required', 'no VM moves in the clear, unless its own definition lets it'],
        ['sealift cluster set default --cpu-baseline Haswell --max-per-host 4', 'several settings at once'],
        ['sealift cluster set default --cpu-baseline none --max-per-host default', 'take them away again'],
        ['sealift cluster set default --auto on --band 20 --rest 30m', 'balance by itself, calmly'],
      ],
    },
  );

  describe(
    cluster
      .command('rm')
      .argument('<cluster>', 'its name')
      .description('forget a cluster that has no host')
      .action((name: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          await manager.removeCluster({ params: { cluster: name } });
          if (io.json) printJson(io, {});
          else io.print(`Cluster ${name} is removed`);
        }),
      ),
    {
      about: ['Takes an empty cluster away. The cluster "default" cannot be removed.'],
      changes: 'The cluster and its settings are gone.',
      examples: [['sealift cluster rm lab', 'forget it']],
      exits: [3, 4],
    },
  );

  addBalanceCommand(cluster);
}

async function setCluster({ io, manager }: Context, name: string, options: SetOptions): Promise<void> {
  const known = await manager.getCluster({ params: { cluster: name } }).catch(unlessUnknown);
  const change = changeOf(options, known);
  if (known && Object.keys(change).length === 0) {
    throw new UsageError('say what is to change, such as --encryption required; see sealift cluster set --help');
  }
  const it = await manager.setCluster({ params: { cluster: name }, body: change });
  if (io.json) return printJson(io, it);
  io.print(
    known ? `Cluster ${name} is changed` : `Cluster ${name} is made; add hosts with: sealift host add NAME ADDRESS --cluster ${name}`,
  );
  printFields(io, fieldsOf(it));
}

function changeOf(options: SetOptions, known: Cluster | undefined): ClusterChange {
  const { encryption, cpuBaseline, maxPerHost, maxPerCluster, band, auto, rest } = options;
  const balance = {
    ...(band !== undefined && { bandPercent: band }),
    ...(auto !== undefined && { auto }),
    ...(rest !== undefined && { restMs: rest }),
  };
  // The limits are replaced as a whole: a limit that is not in them follows from the speed of the links.
  const perHost = maxPerHost ?? known?.limits.perHost;
  const perCluster = maxPerCluster ?? known?.limits.perCluster;
  const limits = { ...(typeof perHost === 'number' && { perHost }), ...(typeof perCluster === 'number' && { perCluster }) };
  return {
    ...(encryption && { encryption }),
    ...(cpuBaseline !== undefined && { cpuBaseline: cpuBaseline === 'none' ? null : cpuBaseline }),
    ...((maxPerHost !== undefined || maxPerCluster !== undefined) && { limits }),
    ...(Object.keys(balance).length > 0 && { balance }),
  };
}
