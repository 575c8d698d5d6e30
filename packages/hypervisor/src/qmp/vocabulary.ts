/** The commands and events of QMP that sealift uses, as QEMU's schema (qapi/*.json of 7.2 to 10.0) has them. */

/** qapi/run-state.json, RunState. */
export const runStates = [
  'debug',
  'inmigrate',
  'internal-error',
  'io-error',
  'paused',
  'postmigrate',
  'prelaunch',
  'finish-migrate',
  'restore-vm',
  'running',
  'save-vm',
  'shutdown',
  'suspended',
  'watchdog',
  'guest-panicked',
  'colo',
] as const;
export type RunState = (typeof runStates)[number];

/** qapi/migration.json, MigrationStatus. */
export const migrationStatuses = [
  'none',
  'setup',
  'cancelling',
  'cancelled',
  'active',
  'postcopy-device',
  'postcopy-active',
  'postcopy-paused',
  'postcopy-recover-setup',
  'postcopy-recover',
  'completed',
  'failed',
  'failing',
  'colo',
  'pre-switchover',
  'device',
  'wait-unplug',
] as const;
export type MigrationStatus = (typeof migrationStatuses)[number];

export interface AnnounceParameters {
  /** Milliseconds before the second announcement. */
  readonly initial: number;
  /** Milliseconds at most between two. */
  readonly max: number;
  readonly rounds: number;
  /** Milliseconds by which the pause grows. */
  readonly step: number;
}

interface None {
  readonly arguments: undefined;
  readonly return: Readonly<Record<string, never>>;
}
interface Query<R> {
  readonly arguments: undefined;
  readonly return: R;
}
interface Order<A> {
  readonly arguments: A;
  readonly return: Readonly<Record<string, never>>;
}

/** What QEMU answers is not checked against these types by the monitor: whoever decides on a field checks it (see migration.ts). */
export interface QmpCommands {
  'query-version': Query<unknown>;
  'query-status': Query<{ readonly status: string; readonly running: boolean }>;
  'query-machines': Query<readonly { readonly name: string; readonly alias?: string; readonly 'cpu-max': number }[]>;
  'query-cpu-definitions': Query<readonly { readonly name: string; readonly 'unavailable-features'?: readonly string[] }[]>;
  /** qapi/machine.json. */
  'query-cpus-fast': Query<readonly { readonly 'qom-path': string }[]>;
  /** qapi/machine.json, in bytes. */
  'query-memory-size-summary': Query<{ readonly 'base-memory': number; readonly 'plugged-memory'?: number }>;
  /** qapi/block-core.json: one for each device, since its start. */
  'query-blockstats': Query<readonly { readonly stats: { readonly rd_bytes: number; readonly wr_bytes: number } }[]>;
  'qom-get': { readonly arguments: { readonly path: string; readonly property: string }; readonly return: unknown };
  'qom-list': {
    readonly arguments: { readonly path: string };
    readonly return: readonly { readonly name: string; readonly type: string }[];
  };
  'qom-list-types': {
    readonly arguments: { readonly implements: string; readonly abstract: boolean };
    readonly return: readonly { readonly name: string }[];
  };
  /** qapi/block-core.json. `image` is what the node is of. */
  'query-named-block-nodes': {
    readonly arguments: { readonly flat: boolean };
    readonly return: readonly { readonly 'node-name'?: string; readonly image?: unknown }[];
  };
  /** `device` is the job's id. */
  'query-block-jobs': Query<readonly { readonly device: string; readonly ready: boolean; readonly len: number; readonly offset: number }[]>;
  'blockdev-add': Order<Readonly<Record<string, unknown>>>;
  'blockdev-del': Order<{ readonly 'node-name': string }>;
  'blockdev-mirror': Order<Readonly<Record<string, string | number>>>;
  'block-job-set-speed': Order<{ readonly device: string; readonly speed: number }>;
  'block-job-cancel': Order<{ readonly device: string; readonly force: boolean }>;
  /** qapi/block-export.json. */
  'nbd-server-start': Order<{ readonly addr: { readonly type: 'unix'; readonly data: { readonly path: string } } }>;
  'nbd-server-stop': None;
  'block-export-add': Order<Readonly<Record<string, string | boolean>>>;
  /** qapi/misc.json; for tests, to do what only a guest does. */
  'human-monitor-command': { readonly arguments: { readonly 'command-line': string }; readonly return: string };
  'query-block-exports': Query<readonly { readonly id: string }[]>;
  'query-migrate-capabilities': Query<readonly { readonly capability: string; readonly state: boolean }[]>;
  'query-migrate-parameters': Query<Readonly<Record<string, unknown>>>;
  'query-migrate': Query<Readonly<Record<string, unknown>>>;
  'migrate-set-capabilities': Order<{ readonly capabilities: readonly { readonly capability: string; readonly state: boolean }[] }>;
  'migrate-set-parameters': Order<Readonly<Record<string, number | string | boolean>>>;
  /** qapi/yank.json: connections that QEMU can be told to give up; one of type `migration` from `migrate` until all of it is over. */
  'query-yank': Query<readonly { readonly type: string }[]>;
  yank: Order<{ readonly instances: readonly { readonly type: 'migration' }[] }>;
  migrate: Order<{ readonly uri: string }>;
  'migrate-incoming': Order<{ readonly uri: string }>;
  'migrate-continue': Order<{ readonly state: MigrationStatus }>;
  'migrate-start-postcopy': None;
  migrate_cancel: None;
  stop: None;
  cont: None;
  quit: None;
  system_powerdown: None;
  system_reset: None;
  'announce-self': Order<AnnounceParameters>;
}
export type QmpCommand = keyof QmpCommands;

/** Arguments where the command has some, then options. */
export type ExecuteInput<C extends QmpCommand> = QmpCommands[C]['arguments'] extends undefined
  ? [arguments_?: undefined, options?: ExecuteOptions]
  : [arguments_: QmpCommands[C]['arguments'], options?: ExecuteOptions];

export interface ExecuteOptions {
  /** Milliseconds until the command rejects with `timeout`. Default: {@link DEFAULT_DEADLINE_MS}. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** QEMU answers within a millisecond unless its main loop is held up by I/O on a storage or network that hangs. */
export const DEFAULT_DEADLINE_MS = 10_000;

interface EventData {
  /** Of MIGRATION with the capability `events`. */
  readonly status?: string;
  /** Of MIGRATION_PASS. */
  readonly pass?: number;
  /** Of SHUTDOWN and RESET: `guest-shutdown`, `host-qmp-quit`… */
  readonly reason?: string;
  readonly guest?: boolean;
  /** Of BLOCK_JOB_*: the job's id. */
  readonly device?: string;
  /** Of BLOCK_JOB_COMPLETED: why it failed. */
  readonly error?: string;
}

/**
 * An event. `name` is one of STOP, RESUME, MIGRATION, MIGRATION_PASS, SHUTDOWN, POWERDOWN, RESET, GUEST_PANICKED, or any other of QEMU's.
 */
export interface QmpEvent {
  readonly name: string;
  readonly data: EventData;
  /** QEMU's wall clock when it happened, in µs since the epoch; NaN where QEMU could not tell. Not for durations: it may be set. */
  readonly qemuMicroseconds: number;
  /** `process.hrtime.bigint()` when the bytes of this event were handed to this process, in ns. Monotonic. */
  readonly receivedAt: bigint;
}
