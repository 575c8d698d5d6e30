/** `npm run bench -- wan`: whether the lab's long line is what it says, by ping and iperf3, and which congestion control fills it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type Lab, labOf, requireAbsent, requireRoot, takeDown } from '../../lab/src/lab/lifecycle.ts';
import { untilInterrupted } from '../../lab/src/system/interrupt.ts';
import { buildTopology } from '../../lab/src/topology/build.ts';
import { type Change, cleanLine } from '../../lab/src/wan/conditions.ts';
import { type Engine, engines, layLine, lineOf } from '../../lab/src/wan/line.ts';
import { machineFacts } from '../measure/machine.ts';
import { goodputShare, ping, tcp, udp, widenWindows } from './probes.ts';

const help = `usage: npm run bench -- wan [options]

Lays the lab's line between two network namespaces, and compares what ping and iperf3 see with what was set. Needs root, ping and iperf3
(tools/setup --bench). Parts: rtt (ping and one TCP flow, at 1 Gb/s), loss (UDP), congestion (bbr and cubic at 150 ms, with and without loss).

  --part NAME    one of the parts; several times for several (all)
  --seconds N    that a TCP flow is measured, after it had time to begin (8)
  --quick        two round trips, one loss, no congestion, 4 s
  --by ENGINE    ${engines.join(' or ')} (netem where the kernel has it)
  --json FILE    all figures, with the machine's facts
  --help
`;

type Row = Readonly<Record<string, string | number>>;

interface Given {
  readonly lab: Lab;
  readonly seconds: number;
  readonly quick: boolean;
  readonly engine: Engine | undefined;
  readonly say: (words: string) => void;
  readonly signal: AbortSignal;
}

const bitsPerSecond = 1e9;
/** BBR has found the rate of 150 ms, and its queue has gone, after this. */
const rampSeconds = 4;
const short = (value: number): number => Number(value.toPrecision(4));
const share = (value: number): string => `${short(value * 100)} %`;

const set = async ({ lab, signal }: Given, change: Change): Promise<void> => {
  signal.throwIfAborted();
  await lineOf(lab, { ...cleanLine, bitsPerSecond, ...change });
};

const roundTrips = async (given: Given): Promise<Row[]> => {
  const rows: Row[] = [];
  for (const rttMs of given.quick ? [0.5, 150] : [0.5, 5, 25, 50, 100, 150]) {
    await set(given, { rttMs });
    const { times } = await ping(given.lab, 100);
    const flow = await tcp(given.lab, { congestion: 'bbr', flows: 1, seconds: given.seconds, rampSeconds });
    const theory = (bitsPerSecond * goodputShare) / 1e6;
    rows.push({
      'RTT set, ms': rttMs,
      'ping: least': short(times.least),
      median: short(times.median),
      most: short(times.most),
      'one flow, bbr, Mbit/s': short(flow.megabitsPerSecond),
      'of theory': share(flow.megabitsPerSecond / theory),
      'CPU, line': share(flow.lineCpu),
      'CPU, iperf3': share(flow.iperfCpu),
      failed: flow.failures,
    });
    given.say(JSON.stringify(rows.at(-1)));
  }
  return rows;
};

const losses = async (given: Given): Promise<Row[]> => {
  const rows: Row[] = [];
  const cases: readonly Change[] = [{ loss: 0.001 }, { loss: 0.01 }, { loss: 0.05 }, { reorder: 0.01 }, { jitterMs: 20 }, {}];
  for (const change of given.quick ? cases.slice(1, 2) : cases) {
    await set(given, { rttMs: 10, ...change });
    const all = Object.keys(change).length === 0;
    const found = await udp(given.lab, all ? 1000 : 300, given.seconds);
    const { times } = await ping(given.lab, 300);
    rows.push({
      set: Object.entries({ rttMs: 10, ...change })
        .map(([name, value]) => `${name} ${value}`)
        .join(', '),
      'UDP, Mbit/s offered': all ? 1000 : 300,
      arrived: short(found.megabitsPerSecond),
      packets: found.packets,
      'lost by the line': found.lostByLine,
      share: share(found.lostByLine / found.packets),
      'lost elsewhere': found.lost - found.lostByLine,
      'out of order': share(found.outOfOrder / found.packets),
      'ping: least': short(times.least),
      most: short(times.most),
      'CPU, line': share(found.lineCpu),
    });
    given.say(JSON.stringify(rows.at(-1)));
  }
  return rows;
};

const congestions = async (given: Given): Promise<Row[]> => {
  const rows: Row[] = [];
  for (const loss of [0, 0.001, 0.01]) {
    await set(given, { rttMs: 150, loss });
    for (const flows of [1, 4]) {
      for (const congestion of ['bbr', 'cubic']) {
        given.signal.throwIfAborted();
        const found = await tcp(given.lab, { congestion, flows, seconds: given.seconds, rampSeconds });
        rows.push({
          'loss set': share(loss),
          flows,
          congestion,
          'Mbit/s': short(found.megabitsPerSecond),
          'of theory without loss': share((found.megabitsPerSecond * 1e6) / bitsPerSecond / goodputShare),
          retransmitted: found.retransmitted,
          'CPU, line': share(found.lineCpu),
          failed: found.failures,
        });
        given.say(JSON.stringify(rows.at(-1)));
      }
    }
  }
  return rows;
};

const parts: Readonly<Record<string, (given: Given) => Promise<Row[]>>> = { rtt: roundTrips, loss: losses, congestion: congestions };

/** As Markdown. */
const table = (rows: readonly Row[]): string => {
  const columns = Object.keys(rows[0] ?? {});
  const line = (cells: readonly (string | number | undefined)[]): string => `| ${cells.join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...rows.map((row) => line(columns.map((column) => row[column])))].join('\n');
};

const measure = async (wanted: readonly string[], given: Given): Promise<Readonly<Record<string, Row[]>>> => {
  const { lab } = given;
  await requireAbsent(lab);
  try {
    for (const folder of [lab.paths.run, lab.paths.logs]) await mkdir(folder, { recursive: true, mode: 0o700 });
    await buildTopology(lab.plan);
    await layLine(lab, { ...cleanLine, bitsPerSecond }, given.signal, given.engine);
    await widenWindows(lab);
    const found: Record<string, Row[]> = {};
    for (const name of wanted) found[name] = (await parts[name]?.(given)) ?? [];
    return found;
  } finally {
    await takeDown(lab);
  }
};

/** @returns the exit status */
export async function run(args: string[]): Promise<number> {
  const [text, flag] = [{ type: 'string' } as const, { type: 'boolean', default: false } as const];
  try {
    const options = { part: { type: 'string', multiple: true } as const, seconds: text, by: text, json: text, quick: flag, help: flag };
    const { values } = parseArgs({ args, options });
    if (values.help) {
      process.stdout.write(help);
      return 0;
    }
    const wanted = values.part ?? (values.quick ? ['rtt', 'loss'] : Object.keys(parts));
    const unknown = wanted.find((name) => !Object.hasOwn(parts, name));
    if (unknown !== undefined) throw new Error(`--part is one of ${Object.keys(parts).join(', ')}, not ${unknown}`);
    const seconds = Number(values.seconds ?? (values.quick ? 4 : 8));
    if (!(Number.isInteger(seconds) && seconds >= 2 && seconds <= 600)) throw new Error('--seconds is a whole number from 2 to 600');
    const engine = engines.find((each) => each === values.by);
    if (values.by !== undefined && engine === undefined) throw new Error(`--by is one of ${engines.join(', ')}, not ${values.by}`);
    requireRoot();
    using interrupted = untilInterrupted();
    const say = (words: string): void => void process.stderr.write(`${words}\n`);
    const found = await measure(wanted, { lab: labOf('wanbench'), engine, seconds, quick: values.quick, say, signal: interrupted.signal });
    const facts = machineFacts({ iperf3: ['iperf3', '--version'] });
    if (values.json) await writeFile(values.json, `${JSON.stringify({ machine: facts, bitsPerSecond, seconds, ...found }, null, 2)}\n`);
    process.stdout.write(`${Object.values(found).map(table).join('\n\n')}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`bench wan: ${error instanceof Error ? error.message : error}\n`);
    return 1;
  }
}
