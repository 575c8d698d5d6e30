/** What the manager remembers, whatever database it is in. Each method is one transaction. */
import type { Keep, Migration, MigrationSpec, VmDefinition } from '@sealift/contract';

export interface StoredHost {
  readonly name: string;
  readonly endpoint: string;
  /** Of the certificate that its agent showed when the host was added. */
  readonly keyHash: string;
  readonly addedAt: number;
  readonly lastSeenAt?: number;
}

export interface StoredVm {
  readonly name: string;
  /** The host that owns it: the source until a migration has completed. */
  readonly host: string;
  readonly definition: VmDefinition;
  readonly createdAt: number;
}

/**
 * The spec is all of the spec but its key, which is never stored. Progress is not stored either: the agents have it. The migration's
 * `resolution` is recorded by {@link Store.addResolution} and {@link Store.resolutionHeard} alone.
 */
export interface StoredMigration {
  readonly migration: Migration;
  readonly spec: MigrationSpec;
  /** When the source was told to begin; missing while it has not been. */
  readonly begunAt?: number;
}

export interface Store {
  listHosts(): Promise<StoredHost[]>;
  /** @returns false where the name is taken */
  addHost(host: StoredHost): Promise<boolean>;
  /** @returns false where a VM is still on it */
  removeHost(name: string): Promise<boolean>;
  hostSeen(name: string, at: number): Promise<void>;

  listVms(): Promise<StoredVm[]>;
  getVm(name: string): Promise<StoredVm | undefined>;
  /** @returns false where the name is taken or the host is gone */
  addVm(vm: StoredVm): Promise<boolean>;
  removeVm(name: string): Promise<void>;

  /** Newest first. */
  listMigrations(): Promise<StoredMigration[]>;
  unfinishedMigrations(): Promise<StoredMigration[]>;
  getMigration(id: string): Promise<StoredMigration | undefined>;
  /** The migration that is moving this VM. */
  migrationOf(vm: string): Promise<StoredMigration | undefined>;
  /** @returns false where another migration is moving the VM: of several at the same moment, the database lets one pass */
  addMigration(stored: StoredMigration): Promise<boolean>;
  /** Recorded before the source is told, so that it is known after a restart. */
  migrationBegins(id: string, at: number): Promise<void>;
  /** Records phase, end, result and failure; with `vmHost` the VM changes its host in the same transaction. */
  updateMigration(migration: Migration, vmHost?: string): Promise<void>;

  /** Recorded before any host is told. @returns false where a decision is there already */
  addResolution(id: string, keep: Keep, at: number): Promise<boolean>;
  /** Takes back a decision that no host has followed. */
  removeResolution(id: string): Promise<void>;
  /** This side has followed the decision; with `refused`, it said in these words why it cannot, and need not be told again. */
  resolutionHeard(id: string, side: Keep, at: number, refused?: string): Promise<void>;
  /** Migrations with a decision that not both hosts have heard. */
  untoldResolutions(): Promise<StoredMigration[]>;

  close(): Promise<void>;
}
