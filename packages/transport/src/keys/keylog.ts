/**
 * For debugging alone: writes down each epoch's secret, as browsers do for TLS, so that a capture can be opened. docs/protocol.md "key log".
 * Whoever has the file reads the migration; nothing else in sealift ever lets a secret out.
 */
import { writeSync } from 'node:fs';
import { migrationId } from './context.ts';

/** Which direction of which channel a secret belongs to. */
export interface KeylogPlace {
  /** UUID. */
  readonly migration: string;
  readonly attempt: number;
  readonly channel: number;
  readonly direction: 'source-to-destination' | 'destination-to-source';
}

/** What an {@link Epochs} calls at the start of each epoch. */
export type EpochLog = (epoch: number, secret: Uint8Array) => void;

/** @param fd opened for appending, so that lines of several threads stay whole */
export const keylogTo =
  (fd: number, { migration, attempt, channel, direction }: KeylogPlace): EpochLog =>
  (epoch, secret) => {
    const place = `${migrationId(migration).toString('hex')} ${attempt} ${channel} ${direction} ${epoch}`;
    writeSync(fd, `SEALIFT_EPOCH ${place} ${Buffer.from(secret).toString('hex')}\n`);
  };
