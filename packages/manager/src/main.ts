/** `sealift manager`: the control plane as a process. */
import { Command, InvalidArgumentError } from 'commander';
import pino from 'pino';
import { startManager } from './manager.ts';
import { StartupError } from './startup/error.ts';
import { hardenProcess } from './startup/hardening.ts';
import { boundHeap } from './startup/heap.ts';
import { readIdentity } from './startup/identity.ts';
import { parseListen } from './startup/listen.ts';

/** EX_UNAVAILABLE of sysexits.h: the manager cannot start as things are. */
const cannotStart = 69;

interface Options {
  readonly state: string;
  readonly socket: string;
  readonly listen: string;
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly historyDays: number;
  readonly historyEvents: number;
  readonly balanceEvery: number;
}

function count(value: string): number {
  if (!/^[1-9]\d{0,8}$/.test(value)) throw new InvalidArgumentError('it must be a whole number, 1 or more.');
  return Number(value);
}

/** The command for the CLI to mount. Its action returns when the manager has been stopped by SIGTERM or SIGINT. */
export const managerCommand = (): Command =>
  new Command('manager')
    .description('Run the manager: inventory, policy, migration orders and keys')
    .option('--state <dir>', 'what the manager remembers', '/var/lib/sealift/manager')
    .option('--socket <path>', 'unix socket that the API is served on, for root', '/run/sealift/manager.sock')
    .option('--listen <address:port>', 'loopback address that the API is served on', '127.0.0.1:8650')
    .requiredOption('--cert <file>', "the manager's certificate, for manager.sealift (PEM)")
    .requiredOption('--key <file>', "the certificate's private key (PEM)")
    .requiredOption('--ca <file>', "the CA that the hosts' certificates come from (PEM)")
    .option('--history-days <days>', 'how long events, and tasks and migrations that have ended, are kept', count, 90)
    .option('--history-events <count>', 'of events, how many are kept at most', count, 500_000)
    .option('--balance-every <seconds>', 'how often clusters that balance themselves are looked at', count, 60)
    .action(run);

async function run(options: Options): Promise<void> {
  const stopped = Promise.withResolvers<NodeJS.Signals>();
  process.once('SIGTERM', stopped.resolve);
  process.once('SIGINT', stopped.resolve);
  // Whatever the manager makes is its owner's alone: the database, and the socket before its mode is set.
  process.umask(0o077);
  const log = pino({ base: null }, pino.destination({ dest: 2, sync: true }));
  try {
    hardenProcess();
    boundHeap();
    const listen = parseListen(options.listen);
    const identity = readIdentity(options);
    const manager = await startManager({
      ...options,
      listen,
      identity,
      log,
      history: { days: options.historyDays, events: options.historyEvents },
      autoBalanceMs: options.balanceEvery * 1000,
    });
    log.info({ url: manager.url, socket: options.socket }, 'ready');
    const signal = await stopped.promise;
    log.info({ signal }, 'stopping');
    await manager.close();
  } catch (error) {
    if (!(error instanceof StartupError)) throw error;
    process.stderr.write(`sealift manager: ${error.message}\n`);
    process.exitCode = cannotStart;
  }
}
