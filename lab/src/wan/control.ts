/** Asking a line that runs, and changing it. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import type { CarryAnswer } from './carry.ts';
import type { Change, Conditions } from './conditions.ts';

export interface LineState {
  readonly conditions: Conditions;
  /** From the first host to the second, and back. Since the line was laid. None of a line by netem. */
  readonly directions: CarryAnswer;
  /** That the line's process has taken so far; 0 of a line by netem. */
  readonly cpuSeconds: number;
}

/**
 * @param change takes effect before this returns; what is on its way keeps its time, unless the line goes down
 * @throws Error when no line listens on that socket
 */
export const askLine = async (socket: string, change?: Change): Promise<LineState> => {
  const connection = connect(socket);
  try {
    await once(connection, 'connect');
    const lines = createInterface(connection);
    const answer = once(lines, 'line');
    connection.write(`${JSON.stringify({ change })}\n`);
    const closed = once(connection, 'close').then(() => {
      throw new Error(`the line that listened on ${socket} went away`);
    });
    const [line]: unknown[] = await Promise.race([answer, closed]);
    return JSON.parse(String(line));
  } finally {
    connection.destroy();
  }
};
