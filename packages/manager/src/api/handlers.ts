/** The public API's routes, each joined to the service that does it. */
import type { publicApi } from '@sealift/contract';
import type { Hosts } from '../agents/hosts.ts';
import type { Migrations } from '../migrations/migrations.ts';
import type { Vms } from '../vms/vms.ts';
import type { Handlers } from './serve.ts';

export interface Services {
  readonly hosts: Hosts;
  readonly vms: Vms;
  readonly migrations: Migrations;
  readonly version: string;
}

export const handlersOf = ({ hosts, vms, migrations, version }: Services): Handlers<typeof publicApi> => ({
  status: async () => {
    const [allHosts, allVms, all] = await Promise.all([hosts.list(), vms.list(), migrations.list()]);
    const migrating = all.filter((migration) => migration.endedAt === undefined).length;
    return { version, hosts: allHosts.length, vms: allVms.length, migrating };
  },

  listHosts: () => hosts.list(),
  addHost: ({ body }) => hosts.add(body),
  getHost: async ({ params }) => hosts.get(params.host).view(),
  removeHost: async ({ params }) => {
    await hosts.remove(params.host);
    return {};
  },

  listVms: () => vms.list(),
  createVm: ({ body }) => vms.create(body.host, body.definition),
  getVm: ({ params }) => vms.get(params.vm),
  startVm: ({ params }) => vms.start(params.vm),
  stopVm: ({ params, body }) => vms.stop(params.vm, body.force),
  removeVm: async ({ params }) => {
    await vms.remove(params.vm);
    return {};
  },
  consoleOfVm: ({ params }) => vms.console(params.vm),

  migrateVm: ({ params, body }) => migrations.order(params.vm, body),
  listMigrations: () => migrations.list(),
  getMigration: ({ params }) => migrations.get(params.migration),
  cancelMigration: ({ params }) => migrations.cancel(params.migration),
  adjustMigration: ({ params, body }) => migrations.adjust(params.migration, body),
  resolveMigration: ({ params, body }) => migrations.resolve(params.migration, body),
  watchMigration: ({ params }, signal) => migrations.watch(params.migration, signal),
});
