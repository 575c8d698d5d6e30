/** `npm run bench -- transport`: the pumps alone, unix socket to unix socket over loopback, no QEMU. */
import path from 'node:path';
import { Helper } from '../flood/helper.ts';
import type { Figures } from '../measure/figures.ts';
import { endAllOnSignals, temporaryDirectory } from '../measure/processes.ts';
import { runSuite, type Variant } from '../measure/suite.ts';
import { startTunnel } from '../measure/tunnel.ts';

const suites = { sealed: 'aes-256-gcm', clear: 'none' } as const;
type Kind = keyof typeof suites;

async function measure(kind: Kind, channels: number, threads: number, bytes: number): Promise<Figures> {
  using directory = temporaryDirectory();
  await using stack = new AsyncDisposableStack();
  const to = path.join(directory.path, 'in.sock');
  const end = '../transport/end.ts';
  const sink = stack.use(new Helper(end, 'sink', to, channels, bytes));
  await sink.says<{ ready: true }>('ready');
  const { out, processes } = await startTunnel(
    { suite: suites[kind], connections: channels, threads, directory: directory.path, to },
    stack,
  );
  const source = stack.use(new Helper(end, 'source', out, channels, bytes));
  await source.says<{ ready: true }>('ready');
  const before = processes.map(({ cpuSeconds }) => cpuSeconds);
  source.go();
  const { begun } = await source.says<{ begun: number }>('begun');
  const { ended } = await sink.says<{ ended: number }>('ended');
  const [send = 0, receive = 0] = processes.map(({ cpuSeconds }, index) => (cpuSeconds - (before[index] ?? 0)) / (bytes / 1e9));
  return {
    'wall s': (ended - begun) / 1000,
    'GB/s': bytes / 1e6 / (ended - begun),
    'CPU s/GB': send + receive,
    'CPU s/GB source side': send,
    'CPU s/GB destination side': receive,
  };
}

const nameOf = (kind: Kind, channels: number, threads: number): string =>
  `${kind}, ${channels} ${channels === 1 ? 'channel' : 'channels'}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;

/** A channel is one thread's: more threads than channels would idle. */
const shapes = [1, 2, 4].flatMap((channels) =>
  [1, 2].filter((threads) => threads <= channels).map((threads) => [channels, threads] as const),
);

const variants = (bytes: number): Variant[] =>
  shapes.flatMap(([channels, threads]) =>
    (['sealed', 'clear'] as const).map((kind) => ({
      name: nameOf(kind, channels, threads),
      measure: () => measure(kind, channels, threads, bytes),
    })),
  );

export const run = (args: string[]): Promise<number> => {
  endAllOnSignals();
  return runSuite(
    {
      name: 'transport',
      words: `The pumps alone: a program that writes random bytes to unix sockets, \`sealift tunnel send\` and \`receive\` as two processes over
loopback TCP, a program that reads from unix sockets. CPU time is that of the two tunnel processes, with all their threads.`,
      mebibytes: 2048,
      quick: { rounds: 2, mebibytes: 512 },
      figures: ['wall s', 'GB/s', 'CPU s/GB', 'CPU s/GB source side', 'CPU s/GB destination side'],
      charted: 'CPU s/GB',
      comparisons: shapes.flatMap(([channels, threads]) =>
        ['wall s', 'CPU s/GB'].map((figure) => ({
          variant: nameOf('sealed', channels, threads),
          to: [nameOf('clear', channels, threads)],
          figure,
        })),
      ),
      within: ({ mebibytes }, use) => use(variants(mebibytes * 1_048_576)),
    },
    args,
  );
};
