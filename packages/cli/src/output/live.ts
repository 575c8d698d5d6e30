/** Lines at the end of a terminal that are written over again and again. */

const esc = String.fromCharCode(27);

export interface Live {
  draw(lines: readonly string[]): void;
  /** Takes them away, so that the next line stands where they were. */
  clear(): void;
  /** What is there stays, and the next lines go below it. */
  keep(): void;
}

/** @param write to a terminal, as it is */
export function createLive(write: (text: string) => void): Live {
  let height = 0;
  const up = (): string => (height > 0 ? `${esc}[${height}A\r` : '');
  return {
    draw(lines) {
      // Up over what was there, then each line with the rest of its old text cleared.
      write(`${up()}${lines.map((line) => `${line}${esc}[K\n`).join('')}${esc}[J`);
      height = lines.length;
    },
    clear() {
      if (height > 0) write(`${up()}${esc}[J`);
      height = 0;
    },
    keep() {
      height = 0;
    },
  };
}
