/** Tables without lines: easy to read, to copy and to cut. */
import type { Io } from './io.ts';

export type Row = readonly (string | number)[];

const bare = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

export async function formatTable(head: readonly string[], rows: readonly Row[]): Promise<string[]> {
  const { default: Table } = await import('cli-table3');
  const table = new Table({ chars: bare, style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 } });
  table.push([...head], ...rows.map((row) => [...row]));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}

/** A list of things: as JSON, as a table, or in words where there are none. */
export async function printList<T>(
  io: Io,
  things: readonly T[],
  { head, row, empty }: { head: readonly string[]; row: (thing: T) => Row; empty: string },
): Promise<void> {
  if (io.json) io.print(JSON.stringify(things, undefined, 2));
  else if (things.length === 0) io.note(empty);
  else for (const line of await formatTable(head, things.map(row))) io.print(line);
}

/** One thing: names and values below each other; what has no value is left out. */
export function printFields(io: Io, fields: Readonly<Record<string, string | number | undefined>>): void {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  const width = Math.max(...entries.map(([name]) => name.length));
  for (const [name, value] of entries) io.print(`${name.padEnd(width)}  ${value}`);
}
