/** `sealift event …` */
import type { Event } from '@sealift/contract';
import type { Command } from 'commander';
import { withManager } from '../context.ts';
import { describe } from '../manual/manual.ts';
import { atLeastOne, wholeNumber } from '../options.ts';
import { printJson } from '../output/io.ts';
import { printList } from '../output/table.ts';
import { formatTime } from '../output/units.ts';

interface Filter {
  readonly vm?: string;
  readonly host?: string;
}

interface ListOptions extends Filter {
  readonly migration?: string;
  readonly before?: number;
  readonly limit: number;
}

const loud = { info: '', warning: 'WARNING ', error: 'ERROR ' } as const;

const line = ({ id, at, type, severity, message }: Event): string => `${formatTime(at)}  ${id}  ${type}  ${loud[severity]}${message}`;

const isAbout = ({ subject }: Event, { vm, host }: Filter): boolean =>
  (vm === undefined || subject.vm === vm) && (host === undefined || subject.host === host);

export function addEventCommands(event: Command): void {
  describe(
    event
      .command('ls')
      .description('the history, newest first')
      .option('--vm <vm>', 'only what is about this VM')
      .option('--host <host>', 'only what is about this host')
      .option('--migration <migration>', 'only what is about this migration')
      .option('--limit <n>', 'at most so many', atLeastOne, 50)
      .option('--before <event>', 'go on behind the event of this number, which was the last of the page before', atLeastOne)
      .action((options: ListOptions, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const events = await manager.listEvents({ query: options });
          await printList(io, events, {
            head: ['TIME', 'ID', 'TYPE', 'MESSAGE'],
            row: ({ id, at, type, severity, message }) => [formatTime(at), id, type, `${loud[severity]}${message}`],
            empty: 'There are no such events.',
          });
          const last = events.at(-1);
          if (!io.json && last && events.length === options.limit) io.note(`Older ones: add --before ${last.id}`);
        }),
      ),
    {
      about: ['What happened to VMs, hosts, migrations, clusters and tasks, as long as the manager keeps it. Times are UTC.'],
      changes: 'Nothing.',
      examples: [
        ['sealift event ls --vm web-1', 'the last things that happened to a VM'],
        ['sealift event ls --limit 1000 --json', 'an array of events'],
      ],
    },
  );

  describe(
    event
      .command('watch')
      .description('what happens, as it happens; Ctrl-C ends it')
      .option('--since <event>', 'begin behind the event of this number, with what has happened since (default: from now on)', wholeNumber)
      .option('--vm <vm>', 'only what is about this VM')
      .option('--host <host>', 'only what is about this host')
      .action(({ since, ...filter }: Filter & { since?: number }, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const [{ untilInterrupted }, { streamEvents }] = await Promise.all([import('../endings.ts'), import('./stream.ts')]);
          let seen = since;
          const onLost = (): void => io.note('The manager does not answer; asking again each second. Nothing will be missed.');
          await untilInterrupted('left', async (signal) => {
            for await (const it of streamEvents(manager, { signal, since, onLost })) {
              seen = it.id;
              if (!isAbout(it, filter)) continue;
              if (io.json) printJson(io, it, 'line');
              else io.print(line(it));
            }
          }).finally(() => {
            if (!io.json && seen !== undefined) io.note(`Go on from here with: sealift event watch --since ${seen}`);
          });
        }),
      ),
    {
      about: [
        'Prints each event as a line; with --json each is a JSON document on a line of its own. Where the connection breaks, or the manager is ' +
          'restarted, it goes on behind the last event that was seen: none is missed and none comes twice.',
      ],
      changes: 'Nothing.',
      examples: [
        ['sealift event watch', 'from now on'],
        ['sealift event watch --since 4711 --json', 'for a program that knows the last event that it has handled'],
        ['sealift event watch --host alpha', 'while a host is drained'],
      ],
      exits: [130],
    },
  );
}
