/** The tables, and the steps by which a database of any earlier version comes to have them. SQL that SQLite and PostgreSQL both read. */
import { type Kysely, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { historyStep } from './steps/history.ts';
import { policyStep } from './steps/policy.ts';

/** Times are milliseconds since the epoch; PostgreSQL hands a bigint over as a string. */
type Time = number | string;

interface HostTable {
  name: string;
  endpoint: string;
  key_hash: string;
  added_at: Time;
  last_seen_at: Time | null;
  /** Never null: SQLite adds no column that refers to another table and is not. */
  cluster: string | null;
  maintenance: string;
}

interface VmTable {
  name: string;
  host: string;
  definition: string;
  created_at: Time;
}

interface MigrationTable {
  id: string;
  vm: string;
  from_host: string;
  to_host: string;
  spec: string;
  phase: string;
  clear_because: string | null;
  result: string | null;
  failure: string | null;
  ordered_at: Time;
  begun_at: Time | null;
  ended_at: Time | null;
}

/** An administrator's decision of a migration. `*_heard_at` is when that host has followed it, or has said why it does not. */
interface ResolutionTable {
  migration: string;
  keep: string;
  decided_at: Time;
  source_heard_at: Time | null;
  destination_heard_at: Time | null;
  source_refused: string | null;
  destination_refused: string | null;
}

/** `limits` and `balance` are JSON. */
interface ClusterTable {
  name: string;
  encryption: string;
  cpu_baseline: string | null;
  limits: string;
  balance: string;
}

/** `rule` is JSON. */
interface RuleTable {
  name: string;
  rule: string;
}

/** A migration's task is made and ended with it. `orders` is what its runner was asked, JSON. */
interface TaskTable {
  id: string;
  kind: string;
  title: string;
  vm: string | null;
  host: string | null;
  cluster: string | null;
  state: string;
  done: number;
  total: number;
  parent: string | null;
  orders: string | null;
  failure: string | null;
  started_at: Time;
  cancelled_at: Time | null;
  ended_at: Time | null;
}

interface TaskLogTable {
  task: string;
  position: number;
  at: Time;
  message: string;
}

/** `data` is JSON. */
interface EventTable {
  id: number | string;
  at: Time;
  type: string;
  severity: string;
  message: string;
  vm: string | null;
  host: string | null;
  cluster: string | null;
  migration: string | null;
  task: string | null;
  data: string | null;
}

/** One row for each thing that is counted. */
interface CounterTable {
  name: string;
  value: number | string;
}

export interface Tables {
  hosts: HostTable;
  vms: VmTable;
  migrations: MigrationTable;
  resolutions: ResolutionTable;
  clusters: ClusterTable;
  rules: RuleTable;
  tasks: TaskTable;
  task_log: TaskLogTable;
  events: EventTable;
  counters: CounterTable;
}

/** Never change a step that was released; add one. */
const steps: Record<string, Migration> = {
  '0001-hosts-vms-migrations': {
    async up(db) {
      await db.schema
        .createTable('hosts')
        .addColumn('name', 'text', (column) => column.primaryKey())
        .addColumn('endpoint', 'text', (column) => column.notNull())
        .addColumn('key_hash', 'text', (column) => column.notNull())
        .addColumn('added_at', 'bigint', (column) => column.notNull())
        .addColumn('last_seen_at', 'bigint')
        .execute();
      await db.schema
        .createTable('vms')
        .addColumn('name', 'text', (column) => column.primaryKey())
        .addColumn('host', 'text', (column) => column.notNull().references('hosts.name'))
        .addColumn('definition', 'text', (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .execute();
      await db.schema
        .createTable('migrations')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('vm', 'text', (column) => column.notNull())
        .addColumn('from_host', 'text', (column) => column.notNull())
        .addColumn('to_host', 'text', (column) => column.notNull())
        .addColumn('spec', 'text', (column) => column.notNull())
        .addColumn('phase', 'text', (column) => column.notNull())
        .addColumn('clear_because', 'text')
        .addColumn('result', 'text')
        .addColumn('failure', 'text')
        .addColumn('ordered_at', 'bigint', (column) => column.notNull())
        .addColumn('begun_at', 'bigint')
        .addColumn('ended_at', 'bigint')
        .execute();
      // What keeps two orders for one VM from both passing, also where two managers share the database.
      await db.schema
        .createIndex('one_unfinished_migration_of_a_vm')
        .unique()
        .on('migrations')
        .column('vm')
        .where(sql.ref('ended_at'), 'is', null)
        .execute();
      await db.schema.createIndex('migrations_by_order').on('migrations').columns(['ordered_at', 'id']).execute();
    },
  },
  '0002-resolutions': {
    async up(db) {
      await db.schema
        .createTable('resolutions')
        .addColumn('migration', 'text', (column) => column.primaryKey().references('migrations.id'))
        .addColumn('keep', 'text', (column) => column.notNull())
        .addColumn('decided_at', 'bigint', (column) => column.notNull())
        .addColumn('source_heard_at', 'bigint')
        .addColumn('destination_heard_at', 'bigint')
        .addColumn('source_refused', 'text')
        .addColumn('destination_refused', 'text')
        .execute();
    },
  },
  '0003-policy': policyStep,
  '0004-history': historyStep,
};

/** @throws Error where a step fails, or where the database is of a later version than this program */
export async function bringUpToDate(db: Kysely<Tables>): Promise<void> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => steps },
    migrationTableName: 'schema_steps',
    migrationLockTableName: 'schema_lock',
  });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
}
