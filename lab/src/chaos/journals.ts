/** What an agent has promised of a migration, read from its journal as it stands on disk (docs/handover.md, "The journal"). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabPaths } from '../lab/paths.ts';

/** The steps in their order, such as `prepared`, `run`, `ended`. */
export const stepsOf = async (paths: LabPaths, host: string, migration: string): Promise<readonly string[]> => {
  const text = await readFile(join(paths.agentState(host), 'journal'), 'utf8');
  // The last line may be half there: it is being written now.
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  return lines.filter((line) => line.includes(migration)).map((line) => JSON.parse(line.slice(9)).record.step);
};
