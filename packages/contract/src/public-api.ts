/** The API for people and their programs: on the manager. */
import { Type } from 'typebox';
import { Cluster, ClusterChange, Rule } from './cluster.ts';
import { Event } from './event.ts';
import { Host, HostRegistration, Image, ImageImport } from './host.ts';
import { LimitsChange, Migration, MigrationOrder } from './migration.ts';
import { Name, Uuid } from './names.ts';
import { BalancePlan, DrainOrder, DrainPlan, MigrationPlan } from './plan.ts';
import { defineApi } from './route.ts';
import { ResolutionOrder } from './settlement.ts';
import { Task, TaskState } from './task.ts';
import { ImageName, Vm, VmDefinition, VmRemoval } from './vm.ts';

const HostParams = Type.Object({ host: Name });
const ImageParams = Type.Object({ host: Name, pool: Name, image: ImageName });
const VmParams = Type.Object({ vm: Name });
const MigrationParams = Type.Object({ migration: Uuid });
const ClusterParams = Type.Object({ cluster: Name });
const RuleParams = Type.Object({ rule: Name });
const TaskParams = Type.Object({ task: Uuid });
const Nothing = Type.Object({});

const limit = Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'At most so many; 1000 where it is left out' }));
/** Lists by name: the next page is the one after the last name of this one. */
const page = { limit, after: Type.Optional(Name) };
const HostQuery = Type.Object({ ...page, cluster: Type.Optional(Name) }, { additionalProperties: false });
const VmQuery = Type.Object({ ...page, host: Type.Optional(Name) }, { additionalProperties: false });
/** Newest first: the next page is the one before the last of this one. */
const MigrationQuery = Type.Object(
  { limit, before: Type.Optional(Uuid), vm: Type.Optional(Name), host: Type.Optional(Name), running: Type.Optional(Type.Boolean()) },
  { additionalProperties: false },
);
const TaskQuery = Type.Object(
  { limit, before: Type.Optional(Uuid), state: Type.Optional(TaskState), parent: Type.Optional(Uuid) },
  { additionalProperties: false },
);
const EventQuery = Type.Object(
  {
    limit,
    before: Type.Optional(Type.Integer({ minimum: 1 })),
    vm: Type.Optional(Name),
    host: Type.Optional(Name),
    migration: Type.Optional(Uuid),
  },
  { additionalProperties: false },
);

export const VmCreation = Type.Object({ host: Name, definition: VmDefinition }, { additionalProperties: false });
export const VmStop = Type.Object(
  { force: Type.Boolean({ default: false, description: 'Do not ask the guest; cut its power' }) },
  { additionalProperties: false },
);

export const VmRemoving = Type.Object(
  { keepDisks: Type.Optional(Type.Boolean({ description: 'Leave the disks that were made for it in pools' })) },
  { additionalProperties: false },
);

export const publicApi = defineApi({
  status: {
    method: 'GET',
    path: '/v1/status',
    summary: 'The manager itself',
    response: Type.Object({ version: Type.String(), hosts: Type.Integer(), vms: Type.Integer(), migrating: Type.Integer() }),
    status: 200,
  },

  listHosts: { method: 'GET', path: '/v1/hosts', summary: 'Hosts, by name', query: HostQuery, response: Type.Array(Host), status: 200 },
  addHost: {
    method: 'POST',
    path: '/v1/hosts',
    summary: 'Add a host by where its agent answers',
    body: HostRegistration,
    response: Host,
    status: 201,
  },
  getHost: { method: 'GET', path: '/v1/hosts/:host', summary: 'One host', params: HostParams, response: Host, status: 200 },
  removeHost: {
    method: 'DELETE',
    path: '/v1/hosts/:host',
    summary: 'Forget a host that has no VM',
    params: HostParams,
    response: Nothing,
    status: 200,
  },

  drainHost: {
    method: 'POST',
    path: '/v1/hosts/:host/drain',
    summary: 'Into maintenance: move every VM off it',
    params: HostParams,
    body: DrainOrder,
    response: Task,
    status: 202,
  },
  planDrain: {
    method: 'POST',
    path: '/v1/hosts/:host/drain/plan',
    summary: 'What a drain would move where, and what could not leave',
    params: HostParams,
    body: DrainOrder,
    response: DrainPlan,
    status: 200,
  },
  undrainHost: {
    method: 'POST',
    path: '/v1/hosts/:host/undrain',
    summary: 'Out of maintenance; a drain that goes on is cancelled, what has left stays where it is',
    params: HostParams,
    response: Host,
    status: 200,
  },

  listImages: {
    method: 'GET',
    path: '/v1/hosts/:host/images',
    summary: "Images of the host's pools",
    params: HostParams,
    response: Type.Array(Image),
    status: 200,
  },
  importImage: {
    method: 'POST',
    path: '/v1/hosts/:host/images',
    summary: 'Copy a file of the host into a pool, for disks to be made from',
    params: HostParams,
    body: ImageImport,
    response: Image,
    status: 201,
  },
  removeImage: {
    method: 'DELETE',
    path: '/v1/hosts/:host/pools/:pool/images/:image',
    summary: 'Remove an image that no clone needs',
    params: ImageParams,
    response: Nothing,
    status: 200,
  },

  listClusters: { method: 'GET', path: '/v1/clusters', summary: 'All clusters', response: Type.Array(Cluster), status: 200 },
  getCluster: {
    method: 'GET',
    path: '/v1/clusters/:cluster',
    summary: 'One cluster',
    params: ClusterParams,
    response: Cluster,
    status: 200,
  },
  setCluster: {
    method: 'PUT',
    path: '/v1/clusters/:cluster',
    summary: 'Change a cluster, or make one',
    params: ClusterParams,
    body: ClusterChange,
    response: Cluster,
    status: 200,
  },
  removeCluster: {
    method: 'DELETE',
    path: '/v1/clusters/:cluster',
    summary: 'Forget a cluster that has no host',
    params: ClusterParams,
    response: Nothing,
    status: 200,
  },
  planBalance: {
    method: 'POST',
    path: '/v1/clusters/:cluster/balance/plan',
    summary: 'The fewest moves that even out the load',
    params: ClusterParams,
    response: BalancePlan,
    status: 200,
  },
  balanceCluster: {
    method: 'POST',
    path: '/v1/clusters/:cluster/balance',
    summary: 'Make those moves',
    params: ClusterParams,
    response: Task,
    status: 202,
  },

  listRules: { method: 'GET', path: '/v1/rules', summary: 'Rules of placement', response: Type.Array(Rule), status: 200 },
  setRule: {
    method: 'PUT',
    path: '/v1/rules/:rule',
    summary: 'Make or replace a rule',
    params: RuleParams,
    body: Type.Omit(Rule, ['name']),
    response: Rule,
    status: 200,
  },
  removeRule: { method: 'DELETE', path: '/v1/rules/:rule', summary: 'Forget a rule', params: RuleParams, response: Nothing, status: 200 },

  listTasks: {
    method: 'GET',
    path: '/v1/tasks',
    summary: 'Tasks, newest first',
    query: TaskQuery,
    response: Type.Array(Task),
    status: 200,
  },
  getTask: { method: 'GET', path: '/v1/tasks/:task', summary: 'One task with its log', params: TaskParams, response: Task, status: 200 },
  cancelTask: {
    method: 'POST',
    path: '/v1/tasks/:task/cancel',
    summary: 'Stop it; what is done stays done',
    params: TaskParams,
    response: Task,
    status: 202,
  },
  watchTask: {
    method: 'GET',
    path: '/v1/tasks/:task/events',
    summary: 'The task until it has ended',
    params: TaskParams,
    response: Task,
    status: 200,
    stream: 'events',
  },

  listEvents: {
    method: 'GET',
    path: '/v1/events/history',
    summary: 'The history, newest first',
    query: EventQuery,
    response: Type.Array(Event),
    status: 200,
  },
  watchEvents: {
    method: 'GET',
    path: '/v1/events',
    summary: 'What happens from now on, or since the event that Last-Event-ID names',
    response: Event,
    status: 200,
    stream: 'events',
    resumable: true,
  },

  listVms: { method: 'GET', path: '/v1/vms', summary: 'VMs, by name', query: VmQuery, response: Type.Array(Vm), status: 200 },
  createVm: { method: 'POST', path: '/v1/vms', summary: 'Define a VM on a host', body: VmCreation, response: Vm, status: 201 },
  getVm: { method: 'GET', path: '/v1/vms/:vm', summary: 'One VM', params: VmParams, response: Vm, status: 200 },
  changeVm: {
    method: 'PUT',
    path: '/v1/vms/:vm',
    summary: 'Change its definition: all of it while it is off, the encryption mode at any time',
    params: VmParams,
    body: VmDefinition,
    response: Vm,
    status: 200,
  },
  resetVm: { method: 'POST', path: '/v1/vms/:vm/reset', summary: 'Reset, as its button does', params: VmParams, response: Vm, status: 200 },
  suspendVm: { method: 'POST', path: '/v1/vms/:vm/suspend', summary: 'Pause its vCPUs', params: VmParams, response: Vm, status: 200 },
  resumeVm: { method: 'POST', path: '/v1/vms/:vm/resume', summary: 'Let a paused VM run', params: VmParams, response: Vm, status: 200 },
  startVm: { method: 'POST', path: '/v1/vms/:vm/start', summary: 'Power on', params: VmParams, response: Vm, status: 200 },
  stopVm: { method: 'POST', path: '/v1/vms/:vm/stop', summary: 'Shut down', params: VmParams, body: VmStop, response: Vm, status: 200 },
  removeVm: {
    method: 'DELETE',
    path: '/v1/vms/:vm',
    summary: 'Forget a stopped VM, and remove the disks that were made for it in pools; what it has by a path stays',
    params: VmParams,
    query: VmRemoving,
    response: VmRemoval,
    status: 200,
  },
  consoleOfVm: {
    method: 'GET',
    path: '/v1/vms/:vm/console',
    summary: 'Its serial console',
    params: VmParams,
    response: Nothing,
    status: 200,
    stream: 'socket',
  },

  migrateVm: {
    method: 'POST',
    path: '/v1/vms/:vm/migrations',
    summary: 'Move a running VM',
    params: VmParams,
    body: MigrationOrder,
    response: Migration,
    status: 202,
  },
  planMigration: {
    method: 'POST',
    path: '/v1/vms/:vm/plan',
    summary: 'What a migration would do: where to, every check, every host that was considered. Changes nothing',
    params: VmParams,
    body: MigrationOrder,
    response: MigrationPlan,
    status: 200,
  },
  listMigrations: {
    method: 'GET',
    path: '/v1/migrations',
    summary: 'Migrations, newest first',
    query: MigrationQuery,
    response: Type.Array(Migration),
    status: 200,
  },
  getMigration: {
    method: 'GET',
    path: '/v1/migrations/:migration',
    summary: 'One migration',
    params: MigrationParams,
    response: Migration,
    status: 200,
  },
  cancelMigration: {
    method: 'POST',
    path: '/v1/migrations/:migration/cancel',
    summary: 'Stop moving; the VM runs on at the source',
    params: MigrationParams,
    response: Migration,
    status: 202,
  },
  adjustMigration: {
    method: 'PUT',
    path: '/v1/migrations/:migration/limits',
    summary: 'Change limits while it runs',
    params: MigrationParams,
    body: LimitsChange,
    response: Migration,
    status: 200,
  },
  resolveMigration: {
    method: 'POST',
    path: '/v1/migrations/:migration/resolve',
    summary: "Decide whose copy is the VM where a host is gone for good; the other host's is given up, also when it comes back later",
    params: MigrationParams,
    body: ResolutionOrder,
    response: Migration,
    status: 202,
  },
  watchMigration: {
    method: 'GET',
    path: '/v1/migrations/:migration/events',
    summary: 'Progress until the migration has ended',
    params: MigrationParams,
    response: Migration,
    status: 200,
    stream: 'events',
  },
});
