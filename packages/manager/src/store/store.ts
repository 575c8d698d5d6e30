/** What the manager remembers, whatever database it is in. Each method is one transaction. */
import type { Keep, Maintenance, Migration, MigrationSpec, VmDefinition } from '@sealift/contract';
import type { HistoryStore } from './history.ts';
import type { PolicyStore } from './policy.ts';
import type { Keeping } from './pruning.ts';

export type { EventPage, News, StoredTask, TaskPage } from './history.ts';
export type { StoredCluster } from './policy.ts';

export interface StoredHost {
  readonly name: string;
  readonly endpoint: string;
  /** Of the certificate that its agent showed when the host was added. */
  readonly keyHash: string;
  readonly addedAt: number;
  readonly lastSeenAt?: number;
  readonly cluster: string;
  readonly maintenance: Maintenance;
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
  /** The task that it is part of, a drain or a balance. Read back by way of its own task only, see {@link HistoryStore.tasksOf}. */
  readonly parent?: string;
}

/** By name: the page after the last name of the one before. Without a limit, all. */
export interface NamePage {
  readonly limit?: number | undefined;
  readonly after?: string | undefined;
}

export interface VmPage extends NamePage {
  readonly host?: string | undefined;
}

/** Newest first: the page before the last migration of the one before. Without a limit, all. */
export interface MigrationPage {
  readonly limit?: number | undefined;
  readonly before?: string | undefined;
  readonly vm?: string | undefined;
  /** From or to it. */
  readonly host?: string | undefined;
  readonly running?: boolean | undefined;
}

export interface Store {
  readonly policy: PolicyStore;
  readonly history: HistoryStore;

  listHosts(): Promise<StoredHost[]>;
  /** @returns false where the name is taken or the cluster is not there */
  addHost(host: StoredHost): Promise<boolean>;
  /** @returns false where a VM is still on it */
  removeHost(name: string): Promise<boolean>;
  hostSeen(name: string, at: number): Promise<void>;
  setMaintenance(name: string, maintenance: Maintenance): Promise<void>;

  /** By name. */
  listVms(page?: VmPage): Promise<StoredVm[]>;
  /** Of these names, those that are VMs. */
  knownVms(names: readonly string[]): Promise<string[]>;
  countVms(): Promise<number>;
  getVm(name: string): Promise<StoredVm | undefined>;
  /** @returns false where the name is taken or the host is gone */
  addVm(vm: StoredVm): Promise<boolean>;
  changeVm(name: string, definition: VmDefinition): Promise<void>;
  removeVm(name: string): Promise<void>;

  /** Newest first. */
  listMigrations(page?: MigrationPage): Promise<StoredMigration[]>;
  unfinishedMigrations(): Promise<StoredMigration[]>;
  getMigration(id: string): Promise<StoredMigration | undefined>;
  /** The migration that is moving this VM. */
  migrationOf(vm: string): Promise<StoredMigration | undefined>;
  /** With its task. @returns false where another migration is moving the VM: of several at the same moment, the database lets one pass */
  addMigration(stored: StoredMigration): Promise<boolean>;
  /** Recorded before the source is told, so that it is known after a restart. */
  migrationBegins(id: string, at: number): Promise<void>;
  /** Records phase, end, result and failure, and its task's end; with `vmHost` the VM changes its host in the same transaction. An end is final: of one that has ended nothing is changed. */
  updateMigration(migration: Migration, vmHost?: string): Promise<void>;

  /** Recorded before any host is told. @returns false where a decision is there already */
  addResolution(id: string, keep: Keep, at: number): Promise<boolean>;
  /** Takes back a decision that no host has followed. */
  removeResolution(id: string): Promise<void>;
  /** This side has followed the decision; with `refused`, it said in these words why it cannot, and need not be told again. */
  resolutionHeard(id: string, side: Keep, at: number, refused?: string): Promise<void>;
  /** Migrations with a decision that not both hosts have heard. */
  untoldResolutions(): Promise<StoredMigration[]>;

  /** Forgets old history. @returns how much; 0 once nothing is left to forget */
  prune(keeping: Keeping): Promise<number>;

  close(): Promise<void>;
}
