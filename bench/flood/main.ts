/** `npm run bench -- flood`: what strangers at the migration port cost a migration, beyond what they would cost it at any other port of the host. */
import { parseArgs } from 'node:util';
import { render } from './render.ts';
import { type Condition, conditions, type Plan, type Transfer, transfer } from './transfer.ts';

const help = `usage: npm run bench -- flood [options]

The same sealed transfer, over loopback between two processes of \`sealift tunnel\`, in interleaved rounds under three conditions: with no flood,
with strangers who connect to a server of no concern, and with the same strangers at the migration port. All of them connect while the transfer
goes on. Every byte that arrives is compared.

  --rounds N       of all three conditions (5), after one transfer that warms up and tells how long one takes
  --mebibytes N    of one transfer (2048)
  --streams N      channels that carry them (4)
  --strangers N    connections (10000)
  --rate N         of them a second (as many as make the flood last 70 % of a transfer without one)
  --json           all figures as JSON on standard output, nothing else
  --help

Exit status 1 where a transfer failed or other bytes arrived, or where the flood kept outlasting the transfer; 2 for wrong options.
`;

export type Round = Readonly<Record<Condition, Transfer>>;

export interface Result {
  readonly plan: Plan;
  readonly rounds: readonly Round[];
  /** Rounds that do not count, as a transfer was over before the last stranger had come. */
  readonly repeated: number;
}

interface Options {
  readonly rounds: number;
  readonly json: boolean;
  readonly plan: Omit<Plan, 'rate'> & { readonly rate: number | undefined };
}

/** @throws Error naming the option that is not right */
function read(args: string[]): Options | 'help' {
  const string = { type: 'string' } as const;
  const { values } = parseArgs({
    args,
    options: {
      rounds: string,
      mebibytes: string,
      streams: string,
      strangers: string,
      rate: string,
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const whole = (name: 'rounds' | 'mebibytes' | 'streams' | 'strangers' | 'rate', otherwise: string, most: number): number => {
    const text = values[name] ?? otherwise;
    if (!/^[1-9]\d{0,6}$/.test(text) || Number(text) > most) throw new Error(`--${name} is a whole number from 1 to ${most}, not ${text}`);
    return Number(text);
  };
  const streams = whole('streams', '4', 64);
  return {
    rounds: whole('rounds', '5', 1000),
    json: values.json,
    plan: {
      streams,
      bytesPerStream: Math.floor((whole('mebibytes', '2048', 65_536) * 1024 * 1024) / streams),
      strangers: whole('strangers', '10000', 1_000_000),
      rate: values.rate === undefined ? undefined : whole('rate', '', 1_000_000),
    },
  };
}

async function measure({ rounds: wanted, plan: given }: Options, say: (words: string) => void): Promise<Result> {
  const { seconds } = await transfer('none', { ...given, rate: 0 });
  const plan = { ...given, rate: given.rate ?? Math.ceil(given.strangers / (0.7 * seconds)) };
  say(`a transfer takes ${seconds.toFixed(2)} s; ${plan.strangers} strangers come at ${plan.rate} a second`);
  const rounds: Round[] = [];
  let repeated = 0;
  while (rounds.length < wanted) {
    // Each condition comes first, second and third equally often.
    const turn = (rounds.length + repeated) % conditions.length;
    const order = [...conditions.slice(turn), ...conditions.slice(0, turn)];
    const found: Partial<Record<Condition, Transfer>> = {};
    for (const condition of order) found[condition] = await transfer(condition, plan);
    const round = found as Round; // conditions are all there are
    const said = conditions.map((condition) => `${condition} ${round[condition].seconds.toFixed(2)} s`).join(', ');
    if (conditions.every((condition) => round[condition].floodWithin)) {
      rounds.push(round);
      say(`round ${rounds.length}: ${said}`);
    } else {
      say(`a round that does not count, as the flood outlasted a transfer: ${said}`);
      if (++repeated > wanted) throw new Error('the flood keeps outlasting the transfer: give more --mebibytes, or a higher --rate');
    }
  }
  return { plan, rounds, repeated };
}

/** @returns the exit status */
export async function run(args: string[]): Promise<number> {
  let options: Options | 'help';
  try {
    options = read(args);
  } catch (error) {
    process.stderr.write(`bench flood: ${messageOf(error)}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(help);
    return 0;
  }
  try {
    const result = await measure(options, (words) => process.stderr.write(`${words}\n`));
    process.stdout.write(render(result, options.json));
    return 0;
  } catch (error) {
    process.stderr.write(`bench flood: ${messageOf(error)}\n`);
    return 1;
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
