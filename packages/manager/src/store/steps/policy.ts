/** Clusters, what holds in them, and rules of placement. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const policyStep: Migration = {
  // biome-ignore lint/suspicious/noExplicitAny: a step knows the tables as they were then, not as the types of today have them
  async up(db: Kysely<any>) {
    await db.schema
      .createTable('clusters')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('encryption', 'text', (column) => column.notNull())
      .addColumn('cpu_baseline', 'text')
      .addColumn('limits', 'text', (column) => column.notNull())
      .addColumn('balance', 'text', (column) => column.notNull())
      .execute();
    await db
      .insertInto('clusters')
      .values({
        name: 'default',
        encryption: 'opportunistic',
        cpu_baseline: null,
        limits: '{}',
        balance: JSON.stringify({ auto: false, bandPercent: 15, restMs: 600_000 }),
      })
      .execute();
    await db.schema
      .alterTable('hosts')
      .addColumn('cluster', 'text', (column) => column.references('clusters.name'))
      .execute();
    await db.schema
      .alterTable('hosts')
      .addColumn('maintenance', 'text', (column) => column.notNull().defaultTo('none'))
      .execute();
    await sql`UPDATE hosts SET cluster = 'default'`.execute(db);
    await db.schema
      .createTable('rules')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('rule', 'text', (column) => column.notNull())
      .execute();
    await db.schema.createIndex('vms_by_host').on('vms').columns(['host', 'name']).execute();
  },
};
