/** `sealift rule …` */
import type { Rule } from '@sealift/contract';
import { Argument, type Command } from 'commander';
import { withManager } from '../context.ts';
import { UsageError } from '../exit-codes.ts';
import { describe } from '../manual/manual.ts';
import { collect } from '../options.ts';
import { printJson } from '../output/io.ts';
import { printList } from '../output/table.ts';

const wordsOf = ({ kind, vms, hosts }: Rule): string => `${vms.join(', ')} ${kind}${hosts.length > 0 ? ` ${hosts.join(', ')}` : ''}`;

export function addRuleCommands(rule: Command): void {
  describe(
    rule
      .command('ls')
      .description('list the rules of placement')
      .action((_options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) =>
          printList(io, await manager.listRules(), {
            head: ['NAME', 'KIND', 'HOLDS', 'VMS', 'HOSTS'],
            row: ({ name, kind, must, vms, hosts }) => [name, kind, must ? 'must' : 'should', vms.join(' '), hosts.join(' ') || '-'],
            empty: 'There are no rules; make one with: sealift rule set NAME apart VM VM',
          }),
        ),
      ),
    {
      about: [
        'Rules say which VMs belong on the same host, on different ones, or on some hosts only. Placement, drain and balance keep to them.',
      ],
      changes: 'Nothing.',
      examples: [['sealift rule ls', 'all of them']],
    },
  );

  describe(
    rule
      .command('set')
      .argument('<rule>', 'its name')
      .addArgument(new Argument('<kind>', 'what holds for the VMs').choices(['together', 'apart', 'on-hosts', 'not-on-hosts']))
      .argument('<vm...>', 'the VMs that it is about')
      .description('make a rule, or replace one')
      .option('--host <host>', 'a host that on-hosts or not-on-hosts is about; repeatable', collect)
      .option('--must', 'a host that would break it is no candidate; without this it only counts against the host', false)
      .action(
        (
          name: string,
          kind: Rule['kind'],
          vms: string[],
          { host: hosts = [], must }: { host?: string[]; must: boolean },
          command: Command,
        ) => {
          checkHosts(kind, vms, hosts);
          return withManager(command, async ({ io, manager }) => {
            const made = await manager.setRule({ params: { rule: name }, body: { kind, vms, hosts, must } });
            if (io.json) printJson(io, made);
            else io.print(`Rule ${name}: ${wordsOf(made)}${made.must ? ', always' : ', where it can be'}`);
          });
        },
      ),
    {
      about: [
        'together and apart are affinity and anti-affinity among the VMs; on-hosts and not-on-hosts tie them to hosts. VMs and hosts that are named ' +
          'need not be there yet.',
      ],
      changes: 'The rule, for placements from now on. No VM is moved by it: see sealift cluster balance for that.',
      examples: [
        ['sealift rule set db-apart apart db-1 db-2 --must', 'never both on one host'],
        ['sealift rule set app together web-1 cache-1', 'on one host where that can be'],
        ['sealift rule set licence on-hosts db-1 --host alpha --host bravo --must', 'only on hosts that are licensed'],
      ],
    },
  );

  describe(
    rule
      .command('rm')
      .argument('<rule>', 'its name')
      .description('forget a rule')
      .action((name: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          await manager.removeRule({ params: { rule: name } });
          if (io.json) printJson(io, {});
          else io.print(`Rule ${name} is removed`);
        }),
      ),
    {
      about: ['Takes a rule away.'],
      changes: 'Placements from now on do not keep to it. No VM is moved.',
      examples: [['sealift rule rm db-apart', 'forget it']],
      exits: [3],
    },
  );
}

/** @throws UsageError where the rule would mean nothing */
function checkHosts(kind: Rule['kind'], vms: readonly string[], hosts: readonly string[]): void {
  const ofHosts = kind === 'on-hosts' || kind === 'not-on-hosts';
  if (ofHosts && hosts.length === 0) throw new UsageError(`a rule ${kind} needs at least one --host HOST`);
  if (!ofHosts && hosts.length > 0) throw new UsageError(`a rule ${kind} is about VMs only; leave --host out, or make it on-hosts`);
  if (!ofHosts && new Set(vms).size < 2) throw new UsageError(`a rule ${kind} needs at least two VMs`);
}
