/** The load process. Ends when its standard input does. */
import { createInterface } from 'node:readline';
import { Command as Program } from 'commander';
import { Load } from './load.ts';
import type { Answer, Command } from './protocol.ts';

const options = new Program('workload')
  .description(
    "Writes to a guest's Redis and checks that no acknowledged write is lost. Takes its orders from standard input, see protocol.ts.",
  )
  .requiredOption('--host <address>', "the guest's address")
  .option('--port <number>', "Redis' port", Number, 6379)
  .option('--connections <count>', 'TCP connections', Number, 4)
  .option('--rate <writes>', 'writes a second, of all connections together', Number, 1000)
  .option('--silence <ms>', 'connect again where no answer comes for so long', Number)
  .parse()
  .opts<{ host: string; port: number; connections: number; rate: number; silence?: number }>();

const load = new Load({
  target: { host: options.host, port: options.port },
  connections: options.connections,
  writesPerSecond: options.rate,
  ...(options.silence !== undefined && { silenceMs: options.silence }),
});

const carryOut = async (command: Command): Promise<unknown> => {
  switch (command.do) {
    case 'plant':
      return load.plant(command.texts);
    case 'start':
      return load.start();
    case 'reset':
      return load.reset();
    case 'report':
      return load.report();
    case 'checker':
      return load.checker();
    case 'finish':
      return load.finish();
    default:
      throw new Error(`unknown order: ${JSON.stringify(command satisfies never)}`);
  }
};

const answer = (value: Answer): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

// Even while an order waits for a guest that does not answer: nobody is there any more to hear of it.
process.stdin.once('close', () => process.exit(0));

for await (const line of createInterface({ input: process.stdin })) {
  try {
    answer({ ok: true, result: await carryOut(JSON.parse(line)) });
  } catch (error) {
    answer({ ok: false, problem: error instanceof Error ? error.message : String(error) });
  }
}
