/** Makes a migration's spec, and its key for as long as it takes to wrap it. */
import { randomBytes, randomFillSync } from 'node:crypto';
import {
  type CopiedDisk,
  type KeyOffer,
  type MigrationLimits,
  type MigrationSpec,
  SealiftError,
  type Suite,
  type WrappedKey,
} from '@sealift/contract';
import type { AgentLink } from '../../agents/link.ts';
import { protocolVersion } from '../../planner/checks/qemu.ts';
import { contextOf } from './context.ts';
import { wrapKey } from './wrap.ts';

/** By how much the hosts' clocks may be behind the manager's without a spec expiring under a migration that is within its deadline. */
const clockSkewMs = 60_000;

/** Channel 0 for control and QEMU's main stream; multifd and disks come on top. */
const channelsBesideMultifd = 2;

export interface SpecOptions {
  readonly migration: string;
  readonly suite: Suite;
  readonly source: MigrationSpec['source'];
  readonly destination: MigrationSpec['destination'];
  readonly multifdChannels: number;
  readonly limits: MigrationLimits;
  readonly disks: readonly CopiedDisk[];
  readonly keepSourceDisks: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export const makeSpec = ({ multifdChannels, now, disks, keepSourceDisks, ...given }: SpecOptions): MigrationSpec => ({
  ...given,
  protocolVersion,
  attempt: 1,
  nonce: randomBytes(8).toString('base64url'),
  channels: channelsBesideMultifd + multifdChannels + disks.length,
  ...(disks.length > 0 && { disks: [...disks], keepSourceDisks }),
  expiresAt: now + given.limits.deadlineMs + clockSkewMs,
});

/**
 * Makes the key of a spec and wraps it for both agents. The key exists within this call only: it is in one buffer, which is wiped
 * before the call returns, and nothing in between gives up control.
 * @throws SealiftError migration_failed where an agent's public key is unusable
 */
export function makeWrappedKeys(
  spec: MigrationSpec,
  offers: { source: KeyOffer; destination: KeyOffer },
): Record<'source' | 'destination', WrappedKey> {
  const context = contextOf(spec);
  const key = Buffer.alloc(32);
  try {
    randomFillSync(key);
    const wrapFor = (offer: KeyOffer) => wrapKey(key, Buffer.from(offer.publicKey, 'base64url'), context);
    return { source: wrapFor(offers.source), destination: wrapFor(offers.destination) };
  } catch (cause) {
    throw new SealiftError('migration_failed', "an agent's public key for the migration is unusable", { cause });
  } finally {
    key.fill(0);
  }
}

/** Of a host whose agent has answered. */
export function identityOf(link: AgentLink): { name: string; keyHash: string } {
  const { host: name, keyHash } = link;
  if (keyHash === undefined) throw new SealiftError('internal', `the key of host ${name} is not known although it has just answered`);
  return { name, keyHash };
}
