/** The file in which a lab remembers the processes that it has started, so that any later run can end them. */
import { appendFile, readFile } from 'node:fs/promises';
import type { ProcessId } from '../system/process.ts';

export interface RecordedProcess extends ProcessId {
  readonly name: string;
}

/** Adds a line: what was recorded before stays whatever happens to this one. */
export const recordProcess = (file: string, process: RecordedProcess): Promise<void> => appendFile(file, `${JSON.stringify(process)}\n`);

/** @returns nothing where there is no file; a last line that was cut by a crash is passed over */
export const recordedProcesses = async (file: string): Promise<readonly RecordedProcess[]> => {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []; // readFile throws system errors only
    throw error;
  }
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
};
