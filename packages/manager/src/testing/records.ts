/** Hosts, VMs and migrations as a store holds them, for tests. */

import { randomUUID } from 'node:crypto';
import type { Migration, VmDefinition } from '@sealift/contract';
import { toLimits } from '../migrations/spec/limits.ts';
import type { StoredHost, StoredMigration, StoredVm } from '../store/store.ts';

export const definitionOf = (name: string, changes: Partial<VmDefinition> = {}): VmDefinition => ({
  name,
  memoryMiB: 256,
  vcpus: 1,
  cpuModel: 'qemu64',
  machine: 'pc-q35-7.2',
  disks: [],
  nics: [],
  encryption: 'opportunistic',
  ...changes,
});

export const hostOf = (name: string): StoredHost => ({
  name,
  endpoint: '127.0.0.1:8652',
  keyHash: 'ab'.repeat(32),
  addedAt: 1_767_225_600_000,
  cluster: 'default',
  maintenance: 'none',
});

export const vmOf = (name: string, host: string): StoredVm => ({
  name,
  host,
  definition: definitionOf(name),
  createdAt: 1_767_225_600_001,
});

export function migrationOf(vm: string, changes: Partial<Migration> = {}): StoredMigration {
  const id = randomUUID();
  return {
    migration: {
      id,
      vm,
      from: 'alpha',
      to: 'bravo',
      suite: 'aes-256-gcm',
      attempt: 1,
      phase: 'preparing',
      orderedAt: 1_767_225_600_002,
      ...changes,
    },
    spec: {
      protocolVersion: 1,
      migration: id,
      attempt: 1,
      nonce: 'AAAAAAAAAAA',
      suite: 'aes-256-gcm',
      source: { name: 'alpha', keyHash: 'ab'.repeat(32) },
      destination: { name: 'bravo', keyHash: 'cd'.repeat(32) },
      channels: 4,
      limits: toLimits(),
      expiresAt: 1_767_229_200_002,
    },
  };
}
