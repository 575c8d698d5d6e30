/** What the planner knows when it plans: everything, at one moment. Whatever is planned follows from it alone. */
import type { AgentVm, EncryptionMode, Host, HostReport, Maintenance, Migration, Rule, VmDefinition, VmState } from '@sealift/contract';
import type { StoredCluster } from '../store/store.ts';

export interface SnapshotHost {
  readonly name: string;
  readonly cluster: string;
  readonly maintenance: Maintenance;
  readonly state: Host['state'];
  /** The last one; of a host that does not answer, from before it fell silent. */
  readonly report?: HostReport;
}

export interface SnapshotVm extends Pick<AgentVm, 'stats' | 'disks' | 'adopted' | 'immovable'> {
  readonly name: string;
  /** That it is on: of a VM that moves, its source. */
  readonly host: string;
  readonly definition: VmDefinition;
  /** What holds for its migrations: its own mode, or its cluster's. */
  readonly encryption: EncryptionMode;
  /** As its host last said; `unknown` where it does not answer or does not have it. */
  readonly state: VmState;
  /** Whether the manager has it there. What hosts have beside that is seen, and never moved. */
  readonly known: boolean;
  /** When it was last moved, ms since the epoch, where that is of interest: for balance. */
  readonly movedAt?: number;
}

/** One that has not ended. */
export type SnapshotMigration = Pick<Migration, 'id' | 'vm' | 'from' | 'to' | 'phase'>;

export interface Snapshot {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly hosts: readonly SnapshotHost[];
  readonly vms: readonly SnapshotVm[];
  readonly migrations: readonly SnapshotMigration[];
  readonly rules: readonly Rule[];
  readonly clusters: readonly StoredCluster[];
}
