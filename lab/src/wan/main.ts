/**
 * The program that is a line: `main.ts SOCKET TAP TAP CONDITIONS`. Makes both TAP devices in its network namespace, and answers on the unix
 * socket, a line of JSON for each line of JSON (control.ts). It ends only when it is killed, and its devices and what they carried with it.
 */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import type { CarryAnswer, CarryOptions, CarryRequest } from './carry.ts';
import { type Change, changed, cleanLine, parseChange } from './conditions.ts';
import type { LineState } from './control.ts';

const [socket = '', first = '', second = '', described = ''] = process.argv.slice(2);

let conditions = changed(cleanLine, parseChange(described));
const options: CarryOptions = { taps: [first, second], conditions, seed: randomInt(2 ** 31) };
const worker = new Worker(new URL('./carry.ts', import.meta.url), { workerData: options });
// Not caught: a line without its thread carries nothing, and its end says so.
worker.on('error', (error) => {
  throw error;
});

/** The thread answers in the order in which it is asked; the first answer, unasked, says that the devices are there. */
const waiting: ((answer: CarryAnswer) => void)[] = [];
const ready = new Promise<CarryAnswer>((resolve) => waiting.push(resolve));
worker.on('message', (answer: CarryAnswer) => waiting.shift()?.(answer));

const ask = async (change: Change | undefined): Promise<LineState> => {
  if (change) conditions = changed(conditions, change);
  const request: CarryRequest = change ? { conditions } : {};
  const state = conditions;
  const directions = await new Promise<CarryAnswer>((resolve) => {
    waiting.push(resolve);
    worker.postMessage(request);
  });
  const { user, system } = process.cpuUsage();
  return { conditions: state, directions, cpuSeconds: (user + system) / 1e6 };
};

await ready;
createServer((connection) => {
  connection.on('error', () => {}); // who asked has gone
  createInterface(connection).on('line', (line) => {
    void (async () => {
      const { change }: { change?: Change } = JSON.parse(line);
      connection.write(`${JSON.stringify(await ask(change))}\n`);
    })().catch((error: unknown) => connection.destroy(error instanceof Error ? error : undefined));
  });
}).listen(socket);
