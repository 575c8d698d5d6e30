/** Shows a migration as it goes: rewritten lines on a terminal, plain lines elsewhere, a JSON document a line for programs. */
import type { Migration } from '@sealift/contract';
import { type Io, printJson } from '../output/io.ts';
import { clearWarning, isDue, type Look, plainLine, progressLines, summaryLines } from './render.ts';

export interface Display {
  show(migration: Migration): void;
  /** A line between the progress, which stays. */
  note(line: string): void;
  /** After the last state. */
  end(migration: Migration): void;
}

export function createDisplay(io: Io): Display {
  const look: Look = { columns: io.columns ?? 80, colour: io.colour };
  if (io.json) return { show: (migration) => printJson(io, migration, 'line'), note: io.note, end: () => {} };
  const progress = io.columns === undefined ? plainProgress(io) : liveProgress(io, look);
  let warned = false;
  return {
    show(migration) {
      if (!warned) for (const line of clearWarning(migration, look)) io.note(line);
      warned = true;
      progress.show(migration);
    },
    note(line) {
      progress.settle();
      io.note(line);
    },
    end(migration) {
      progress.settle();
      for (const line of summaryLines(migration, { ...look, colour: look.colour && Boolean(process.stdout.isTTY) })) io.print(line);
    },
  };
}

interface Progress {
  show(migration: Migration): void;
  /** What is on the screen stays, and the next line goes below it. */
  settle(): void;
}

function plainProgress(io: Io): Progress {
  let before: Migration | undefined;
  return {
    show(migration) {
      if (!isDue(migration, before)) return;
      before = migration;
      io.note(plainLine(migration));
    },
    settle() {},
  };
}

function liveProgress(io: Io, look: Look): Progress {
  const live = io.live();
  return { show: (migration) => live.draw(progressLines(migration, look)), settle: live.keep };
}
