/** The public API's routes, each joined to the service that does it. */
import type { publicApi } from '@sealift/contract';
import type { Hosts } from '../agents/hosts.ts';
import type { Balances } from '../balance/balances.ts';
import type { Clusters } from '../clusters/clusters.ts';
import type { Drains } from '../drain/drains.ts';
import type { Events } from '../events/events.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Migrations } from '../migrations/migrations.ts';
import type { Planning } from '../moves/planning.ts';
import type { Rules } from '../rules/rules.ts';
import { pageSize } from '../store/sql.ts';
import type { Store } from '../store/store.ts';
import type { Tasks } from '../tasks/tasks.ts';
import type { Vms } from '../vms/vms.ts';
import type { Handlers } from './serve.ts';

export interface Services {
  readonly store: Store;
  readonly hosts: Hosts;
  readonly vms: Vms;
  readonly migrations: Migrations;
  readonly planning: Planning;
  readonly clusters: Clusters;
  readonly rules: Rules;
  readonly tasks: Tasks;
  readonly events: Events;
  readonly drains: Drains;
  readonly balances: Balances;
  readonly metrics: Metrics;
  readonly version: string;
}

export const handlersOf = (services: Services): Handlers<typeof publicApi> => ({
  ...ofInventory(services),
  ...ofOperations(services),
  ...ofMigrations(services),
});

/** Lists have a limit also where their caller names none. */
const paged = <Q extends { limit?: number }>(query: Q | undefined) => ({ ...query, limit: query?.limit ?? pageSize });

const ofInventory = ({ store, hosts, vms, version }: Services) =>
  ({
    status: async () => {
      const [count, unfinished] = await Promise.all([store.countVms(), store.unfinishedMigrations()]);
      return { version, hosts: hosts.all().length, vms: count, migrating: unfinished.length };
    },

    listHosts: ({ query }) => hosts.list(paged(query)),
    addHost: ({ body }) => hosts.add(body),
    getHost: async ({ params }) => hosts.get(params.host).view(),
    removeHost: async ({ params }) => {
      await hosts.remove(params.host);
      return {};
    },

    listImages: ({ params }) => hosts.get(params.host).link.client.listImages(),
    importImage: ({ params, body }) => hosts.get(params.host).link.client.importImage({ body }),
    removeImage: ({ params: { host, ...params } }) => hosts.get(host).link.client.removeImage({ params }),

    listVms: ({ query }) => vms.list(paged(query)),
    createVm: ({ body }) => vms.create(body.host, body.definition),
    getVm: ({ params }) => vms.get(params.vm),
    changeVm: ({ params, body }) => vms.change(params.vm, body),
    startVm: ({ params }) => vms.start(params.vm),
    stopVm: ({ params, body }) => vms.stop(params.vm, body.force),
    resetVm: ({ params }) => vms.reset(params.vm),
    suspendVm: ({ params }) => vms.suspend(params.vm),
    resumeVm: ({ params }) => vms.resume(params.vm),
    removeVm: ({ params, query }) => vms.remove(params.vm, query?.keepDisks),
    consoleOfVm: ({ params }) => vms.console(params.vm),
  }) satisfies Partial<Handlers<typeof publicApi>>;

const ofOperations = ({ clusters, rules, tasks, events, drains, balances, planning, metrics }: Services) =>
  ({
    drainHost: ({ params, body }) => drains.order(params.host, body),
    planDrain: ({ params, body }) => planning.planDrain(params.host, body),
    undrainHost: ({ params }) => drains.undrain(params.host),

    listClusters: () => clusters.list(),
    getCluster: ({ params }) => clusters.get(params.cluster),
    setCluster: ({ params, body }) => clusters.set(params.cluster, body),
    removeCluster: async ({ params }) => {
      await clusters.remove(params.cluster);
      return {};
    },
    planBalance: ({ params }) => planning.planBalance(params.cluster),
    balanceCluster: ({ params }) => balances.order(params.cluster),

    listRules: () => rules.list(),
    setRule: ({ params, body }) => rules.set(params.rule, body),
    removeRule: async ({ params }) => {
      await rules.remove(params.rule);
      return {};
    },

    listTasks: ({ query }) => tasks.list(paged(query)),
    getTask: ({ params }) => tasks.get(params.task),
    cancelTask: ({ params }) => tasks.cancel(params.task),
    watchTask: ({ params }, signal) => tasks.watch(params.task, signal),

    listEvents: ({ query }) => events.list(paged(query)),
    watchEvents: async ({ lastEventId }, signal) => metrics.delivering(await events.watch(lastEventId, signal)),
  }) satisfies Partial<Handlers<typeof publicApi>>;

const ofMigrations = ({ migrations, planning }: Services) =>
  ({
    migrateVm: ({ params, body }) => migrations.order(params.vm, body),
    planMigration: ({ params, body }) => planning.plan(params.vm, body),
    listMigrations: ({ query }) => migrations.list(paged(query)),
    getMigration: ({ params }) => migrations.get(params.migration),
    cancelMigration: ({ params }) => migrations.cancel(params.migration),
    adjustMigration: ({ params, body }) => migrations.adjust(params.migration, body),
    resolveMigration: ({ params, body }) => migrations.resolve(params.migration, body),
    watchMigration: ({ params }, signal) => migrations.watch(params.migration, signal),
  }) satisfies Partial<Handlers<typeof publicApi>>;
