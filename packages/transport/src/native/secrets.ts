/** Small secrets that live long, such as a direction's: on locked pages, which are overwritten even where their thread dies. */
import { allocate } from './memory.ts';

/** Room for a direction's secret and IV. */
export const cellBytes = 64;

const pageBytes = 4096;
const cells: Uint8Array[] = [];

/** @returns zeros, {@link cellBytes} of them; for {@link returnCell}, once */
export function takeCell(): Uint8Array {
  if (cells.length === 0) {
    const { bytes } = allocate(pageBytes, { secret: true });
    for (let at = 0; at < pageBytes; at += cellBytes) cells.push(bytes.subarray(at, at + cellBytes));
  }
  return cells.pop() ?? new Uint8Array(cellBytes);
}

/** Overwrites it. */
export function returnCell(cell: Uint8Array): void {
  cell.fill(0);
  cells.push(cell);
}
