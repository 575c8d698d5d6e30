/** From the contract's migration spec to what the transport needs, and the checks of a spec that an agent makes for itself. */
import {
  type CopiedDisk,
  diskWords,
  type HostIdentity,
  isPoolDisk,
  type MigrationSpec,
  SealiftError,
  type VmDefinition,
  type WrappedKey as WrappedKeyText,
} from '@sealift/contract';
import { type Attempt, protocolVersion, type Role, type WrappedKey } from '@sealift/transport';
import type { Copy } from '../disks/disks.ts';

export const toAttempt = (spec: MigrationSpec): Attempt => ({
  protocolVersion: spec.protocolVersion,
  migration: spec.migration,
  attempt: spec.attempt,
  nonce: Buffer.from(spec.nonce, 'base64url'),
  suite: spec.suite,
  sourceKeyHash: Buffer.from(spec.source.keyHash, 'hex'),
  destinationKeyHash: Buffer.from(spec.destination.keyHash, 'hex'),
  channels: spec.channels,
  disks: copiedDisks(spec).length,
  limits: spec.limits,
  expiresAt: spec.expiresAt,
});

export const toWrappedKey = (key: WrappedKeyText): WrappedKey => ({
  ephemeral: Buffer.from(key.ephemeral, 'base64url'),
  sealed: Buffer.from(key.sealed, 'base64url'),
});

/** multifd channels beside the main one; 0 for a single stream. */
export const multifdChannels = (spec: MigrationSpec): number => spec.channels - 2 - copiedDisks(spec).length;

export const copiedDisks = ({ disks = [] }: MigrationSpec): readonly CopiedDisk[] => disks;

/** What the destination has to make. @throws SealiftError `invalid_request` where the spec's disks are not the definition's */
export const copiesOf = (spec: MigrationSpec, { name, disks }: VmDefinition): Copy[] =>
  copiedDisks(spec).map(({ index, sizeBytes, allocatedBytes }) => {
    const disk = disks[index];
    if (disk && isPoolDisk(disk) && !disk.shared) return { disk, sizeBytes, allocatedBytes };
    throw new SealiftError(
      'invalid_request',
      `the spec copies disk ${index} of VM ${name}, which is no disk in a pool that only its host has`,
    );
  });

/** A disk of a VM, for messages. */
export function diskOf(vm: VmDefinition | undefined, index: number): string {
  const disk = vm?.disks[index];
  return `disk ${disk ? diskWords(disk) : index} of VM ${vm?.name ?? ''}`;
}

/**
 * A spec names both hosts by their keys, so that nobody can have a VM sent elsewhere.
 *
 * @throws SealiftError `invalid_request`
 */
export function checkSpec(spec: MigrationSpec, role: Role, self: HostIdentity, now: number): void {
  if (spec.protocolVersion !== protocolVersion) {
    throw new SealiftError(
      'incompatible',
      `${self.name} speaks protocol version ${protocolVersion}, the spec wants ${spec.protocolVersion}`,
    );
  }
  const named = role === 'source' ? spec.source : spec.destination;
  const other = role === 'source' ? spec.destination : spec.source;
  if (named.name !== self.name || named.keyHash !== self.keyHash) {
    throw new SealiftError('invalid_request', `the spec's ${role} is ${named.name}, which is not this host (${self.name}) with its key`);
  }
  if (other.keyHash === self.keyHash) throw new SealiftError('same_host', `${self.name} is both ends of the spec`);
  if (spec.limits.postcopy && multifdChannels(spec) > 0) {
    throw new SealiftError(
      'invalid_request',
      `post-copy goes through a single stream, and the spec has ${multifdChannels(spec)} beside it`,
    );
  }
  if (spec.expiresAt > now) return;
  const clock = new Date(now).toISOString();
  const late = `by the clock of host ${self.name}, which says ${clock}, the spec expired ${Math.ceil((now - spec.expiresAt) / 1000)} s ago`;
  throw new SealiftError(
    'invalid_request',
    `${late}. Where the migration was ordered just now, that clock is ahead of the manager's: set it (timedatectl), then order the migration again`,
    { details: { clock, expiresAt: spec.expiresAt } },
  );
}
