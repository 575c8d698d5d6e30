/** What a command says: results on standard output, everything about how it goes on standard error. */

import { createLive, type Live } from './live.ts';

export interface Io {
  /** A line of the result. */
  print(line: string): void;
  /** A line about the work, never part of the result. */
  note(line: string): void;
  readonly json: boolean;
  /** Columns of the terminal that standard error is; undefined where it is none, and lines are then never rewritten. */
  readonly columns: number | undefined;
  readonly colour: boolean;
  /** Lines of standard error, where it is a terminal, that are written over. */
  live(): Live;
}

export function createIo(json: boolean): Io {
  const { stdout, stderr } = process;
  return {
    json,
    columns: stderr.isTTY ? stderr.columns || 80 : undefined,
    colour: Boolean(stderr.isTTY) && !process.env['NO_COLOR'],
    print: (line) => void stdout.write(`${line}\n`),
    live: () => createLive((text) => void stderr.write(text)),
    note: (line) => void stderr.write(`${line}\n`),
  };
}

/** One JSON document: for programs with --json. */
export const printJson = (io: Io, value: unknown, layout: 'document' | 'line' = 'document'): void =>
  io.print(JSON.stringify(value, undefined, layout === 'line' ? undefined : 2));
