/** What the streams carry: every byte of every stream is known at both ends, and no two places nearby look alike. */
import { createCipheriv } from 'node:crypto';

/** At most so many bytes are looked at, or sent, in one piece. */
export const pieceBytes = 256 * 1024;
/** A prime, so that pieces and records never fall into step with it. */
const period = 1_048_573;
/** Streams are this far apart in the pattern. */
const stride = 7919;

const block = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(period));
const twice = Buffer.concat([block, block.subarray(0, pieceBytes)]);

const placeOf = (stream: number, position: number): number => (position + stream * stride) % period;

/** @param length at most {@link pieceBytes} */
export function piece(stream: number, position: number, length: number): Buffer {
  const at = placeOf(stream, position);
  return twice.subarray(at, at + length);
}

/** Whether these are the bytes of that stream from that position on. */
export function isRight(stream: number, position: number, bytes: Buffer): boolean {
  for (let done = 0; done < bytes.length; done += pieceBytes) {
    const part = bytes.subarray(done, done + pieceBytes);
    if (!part.equals(piece(stream, position + done, part.length))) return false;
  }
  return true;
}
