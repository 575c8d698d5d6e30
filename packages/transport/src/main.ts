/** `sealift tunnel`: the sealed channels on their own, for whatever speaks through unix sockets. docs/tunnel.md shows it in use. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Suite, suites } from './constants.ts';
import { TransportError } from './errors.ts';
import { hardenProcess } from './native/hardening.ts';
import { TunnelError } from './tunnel/error.ts';
import { addressOf, checkSpec, socketPath } from './tunnel/options.ts';
import { summary, type TunnelReport } from './tunnel/report.ts';
import { makeSpec, maxConnections } from './tunnel/spec.ts';
import { readSpec, writeSpec } from './tunnel/spec-file.ts';
import { type ReceiveOptions, runTunnel, type SendOptions, type TunnelOptions } from './tunnel/tunnel.ts';

interface EndOptions {
  readonly spec: string;
  readonly suite: Suite;
  readonly threads?: number;
  readonly json?: boolean;
}

export function tunnelCommand(): Command {
  const tunnel = new Command('tunnel').description('joins unix sockets on two hosts by sealed channels');
  tunnel
    .command('spec')
    .description('writes what both ends have to be told, with a fresh key, to standard output')
    .addOption(suiteOption('what the tunnel is to be'))
    .option('--channels-max <n>', 'local connections that it can carry', whole(1, maxConnections), 16)
    .option('--valid <minutes>', 'the tunnel has to be in use by then', whole(1, 7 * 24 * 60), 60)
    .option('--force', 'to a terminal, or to a file that others can read')
    .action((options: { suite: Suite; channelsMax: number; valid: number; force?: boolean }) =>
      guarded(async () => {
        hardenProcess();
        const document = makeSpec(options.suite, options.channelsMax, Date.now() + options.valid * 60_000);
        writeSpec(document, process.stdout.fd, options.force ?? false);
        return 0;
      }),
    );
  endCommand(tunnel.command('send').description('takes local connections, each of them a channel to the other end'))
    .requiredOption('--listen-unix <path>', 'where local programs connect; appears when the other end is there')
    .requiredOption('--to <host:port...>', 'where the other end listens; channels are spread over several')
    .option('--idle-exit <seconds>', 'over when it was used, and no channel has been open for so long', seconds, 2)
    .action((options: EndOptions & { listenUnix: string; to: string[]; idleExit: number }) =>
      guarded(() =>
        runEnd(
          options,
          async (common): Promise<SendOptions> => ({
            ...common,
            role: 'send',
            listenUnix: socketPath(options.listenUnix),
            to: await Promise.all(options.to.map(addressOf)),
            idleExitMs: options.idleExit * 1000,
          }),
        ),
      ),
    );
  endCommand(tunnel.command('receive').description('connects to a local program for each channel that comes'))
    .requiredOption('--listen <host:port...>', 'where channels come in; port 0 lets the kernel choose')
    .requiredOption('--connect-unix <path>', 'where the local program listens')
    .option('--eager', 'connect as soon as a channel is there, not at its first bytes: for programs that speak before they are spoken to')
    .option('--may-close-early', 'a program that closes before it has read everything is no failure: QEMU with multifd does so')
    .action((options: EndOptions & { listen: string[]; connectUnix: string; eager?: boolean; mayCloseEarly?: boolean }) =>
      guarded(() =>
        runEnd(
          options,
          async (common): Promise<ReceiveOptions> => ({
            ...common,
            role: 'receive',
            listen: await Promise.all(options.listen.map(addressOf)),
            connectUnix: socketPath(options.connectUnix),
            eager: options.eager ?? false,
            mayCloseEarly: options.mayCloseEarly ?? false,
          }),
        ),
      ),
    );
  return tunnel;
}

const endCommand = (command: Command): Command =>
  command
    .requiredOption('--spec <file>', 'from `sealift tunnel spec`, of mode 600; - for standard input')
    .addOption(suiteOption("the spec's, said once more"))
    .option('--threads <n>', 'threads that carry and seal (default: one for each core)', whole(1, 64))
    .option('--json', 'what was carried, as JSON on standard output at the end');

const suiteOption = (words: string): Option => new Option('--suite <suite>', words).choices(suites).default('aes-256-gcm');

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) throw new InvalidArgumentError(`a whole number from ${least} to ${most}.`);
    return value;
  };
}

function seconds(text: string): number {
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(text)) throw new InvalidArgumentError('seconds, such as 2 or 0.5.');
  return Number(text);
}

/** Statuses of `sealift help exit-codes`. */
const exitStatus = { usage: 2, failed: 7, unavailable: 69, SIGINT: 130, SIGTERM: 143 } as const;

const say = (words: string): void => {
  process.stderr.write(`sealift tunnel: ${words}\n`);
};

async function runEnd(given: EndOptions, complete: (common: TunnelOptions) => Promise<SendOptions | ReceiveOptions>): Promise<number> {
  hardenProcess();
  const stop = new AbortController();
  let stoppedBy: 'SIGINT' | 'SIGTERM' | undefined;
  const stopOn = (signal: 'SIGINT' | 'SIGTERM') => {
    stoppedBy = signal;
    stop.abort();
  };
  process.once('SIGINT', stopOn).once('SIGTERM', stopOn);
  const spec = await readSpec(given.spec);
  try {
    checkSpec(spec, given.suite);
    const ended = await runTunnel(await complete({ spec, threads: given.threads, signal: stop.signal, say }));
    say(summary(ended));
    if (given.json) process.stdout.write(`${JSON.stringify(ended)}\n`);
    return statusOf(ended, stoppedBy);
  } finally {
    spec.key.fill(0);
    process.off('SIGINT', stopOn).off('SIGTERM', stopOn);
  }
}

const statusOf = ({ outcome }: TunnelReport, stoppedBy: 'SIGINT' | 'SIGTERM' | undefined): number =>
  outcome === 'completed' ? 0 : outcome === 'aborted' && stoppedBy ? exitStatus[stoppedBy] : exitStatus.failed;

/** Says what kept it from beginning, and leaves the status to the process. */
async function guarded(action: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await action();
  } catch (error) {
    if (!(error instanceof TunnelError || error instanceof TransportError)) throw error;
    say(error.message);
    process.exitCode = error instanceof TunnelError ? exitStatus[error.code] : exitStatus.failed;
  }
}
