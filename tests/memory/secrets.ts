/** What the daemons under test have told of their secrets (tell.ts), sorted by what they are for. */
import { readFileSync } from 'node:fs';
import type { Line } from './tell.ts';

export interface Secrets {
  /** What the manager made and both agents derive from. */
  readonly specKey: Buffer;
  /** All that is needed until the last channel is confirmed and not longer, but for the spec's key: by name. */
  readonly ofHellos: Readonly<Record<string, Buffer>>;
  /** What a direction of a channel has while it lives: its secret and IV, by name. Its key is in a schedule. */
  readonly ofChannels: Readonly<Record<string, Buffer>>;
}

/** Labels of docs/protocol.md "key schedule" for what a direction has while it lives. */
const ofChannel = ['source to destination', 'destination to source', 'key', 'iv', 'next'];
const ivBytes = 12;

export class Told {
  readonly #file: string;
  #from = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** What was told from now on is another migration's. */
  next(): void {
    this.#from = this.#lines().length;
  }

  /** The process of a daemon by the words that begin its command line, `sealift` left out. */
  pidOf(...words: string[]): number {
    const started = this.#lines().find((line) => line.kind === 'started' && words.every((word, i) => line.args[i] === word));
    if (!started) throw new Error(`no process has said that it is ${words.join(' ')}`);
    return started.pid;
  }

  /** In how many directions of channels a daemon has come to have keys in this migration. */
  directionsOf(pid: number): number {
    const keys = this.#current().flatMap((line) =>
      line.pid === pid && line.kind === 'expanded' && line.label === 'key' ? [line.inverted] : [],
    );
    return new Set(keys).size;
  }

  /** @param pids of the daemons. @throws where they do not agree on the spec's key, or one of them has not told it */
  secrets({ manager, agents }: { manager: number; agents: readonly number[] }): Secrets {
    const lines = this.#current();
    const expandedFrom = new Set(lines.flatMap((line) => (line.kind === 'expanded' ? [line.from] : [])));
    const derivedFrom = agents.map(
      (pid) => new Set(lines.flatMap((line) => (line.pid === pid && line.kind === 'extracted' ? [line.from] : []))),
    );
    const made = lines.flatMap((line) => (line.pid === manager && line.kind === 'random' ? [line.inverted] : []));
    const keys = made.filter((key) => derivedFrom.every((set) => set.has(key)));
    const [specKey] = keys;
    if (keys.length !== 1 || specKey === undefined) throw new Error(`both agents derive from ${keys.length} keys that the manager made`);
    const ofHellos: Record<string, Buffer> = {};
    const ofChannels: Record<string, Buffer> = {};
    const add = (to: Record<string, Buffer>, name: string, told: string, length = 32): void => {
      if (told !== specKey) to[name] = upright(told).subarray(0, length);
    };
    for (const [i, line] of lines.entries()) {
      switch (line.kind) {
        case 'random':
          add(ofHellos, `${i} private key`, line.inverted);
          break;
        case 'extracted':
          // A MAC otherwise, which anybody sees.
          if (!expandedFrom.has(line.inverted)) break;
          add(ofHellos, `${i} extracted`, line.inverted);
          add(ofHellos, `${i} exchanged`, line.from);
          break;
        case 'expanded':
          if (line.label === 'iv') add(ofChannels, `${i} iv`, line.inverted, ivBytes);
          else add(ofChannel.includes(line.label) ? ofChannels : ofHellos, `${i} ${line.label}`, line.inverted);
      }
    }
    return { specKey: upright(specKey), ofHellos: once(ofHellos), ofChannels: once(ofChannels) };
  }

  #current(): Line[] {
    return this.#lines().slice(this.#from);
  }

  #lines(): Line[] {
    return readFileSync(this.#file, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  }
}

const upright = (inverted: string): Buffer => Buffer.from(Buffer.from(inverted, 'hex').map((byte) => byte ^ 0xff));

/** Both ends tell the same ones. */
function once(secrets: Record<string, Buffer>): Record<string, Buffer> {
  const byBytes = new Map(Object.entries(secrets).map(([name, bytes]) => [bytes.toString('hex'), [name, bytes] as const]));
  return Object.fromEntries(byBytes.values());
}
