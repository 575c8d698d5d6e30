/** What the main thread does for a thread that has ended: frees, overwrites and closes all that was in its name. */
import koffi from 'koffi';
import { takeOwned } from './descriptors.ts';
import { evp } from './evp.ts';
import { holdingKind, takeHoldings } from './holdings.ts';
import { libc } from './libc.ts';
import { pkey } from './x25519.ts';

/** Only once the thread has been joined: nothing may use these any more. */
export function reclaim(ledger: SharedArrayBuffer, owners: SharedArrayBuffer, thread: number): void {
  for (const { kind, address, length } of takeHoldings(ledger)) {
    if (kind === holdingKind.context) evp.freeContext(address);
    else if (kind === holdingKind.keyPair) pkey.freeKey(address);
    else {
      new Uint8Array(koffi.view(BigInt(address), length)).fill(0);
      libc.munmap(address, length);
    }
  }
  for (const fd of takeOwned(owners, thread)) libc.close(fd);
}
