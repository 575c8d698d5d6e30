/**
 * Preloaded into a process under test (`--import`): tells its parent whatever the process fills with secret random bytes. They are told inverted, so
 * that telling leaves no copy of them in the process.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

const { randomFillSync } = crypto;

crypto.randomFillSync = <T extends NodeJS.ArrayBufferView>(buffer: T, offset?: number, size?: number): T => {
  randomFillSync(buffer, offset, size);
  const bytes = Buffer.from(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength).map((byte) => byte ^ 0xff));
  process.send?.({ inverted: bytes.toString('hex') });
  return buffer;
};
syncBuiltinESMExports();
