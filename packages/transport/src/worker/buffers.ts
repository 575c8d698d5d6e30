/** Record buffers, lent to a channel direction while it lives and used again by the next: mapping pages anew costs more than sealing them. */
import { headerBytes, maxDataBytes, tagBytes } from '../constants.ts';
import { allocate, type Memory } from '../native/memory.ts';

const spare: Memory[] = [];

/** Room for a whole record at {@link recordAt} with room for the following header after it. */
export const bufferBytes = headerBytes + maxDataBytes + tagBytes + headerBytes;

export const lend = (): Memory => spare.pop() ?? allocate(bufferBytes, { secret: false });

/** @param used how many of its bytes may hold a VM's memory: they are overwritten */
export function giveBack(memory: Memory, used: number = bufferBytes): void {
  memory.bytes.fill(0, 0, used);
  spare.push(memory);
}
