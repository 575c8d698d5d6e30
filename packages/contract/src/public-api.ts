/** The API for people and their programs: on the manager. */
import { Type } from 'typebox';
import { Host, HostRegistration } from './host.ts';
import { LimitsChange, Migration, MigrationOrder } from './migration.ts';
import { Name, Uuid } from './names.ts';
import { defineApi } from './route.ts';
import { ResolutionOrder } from './settlement.ts';
import { Vm, VmDefinition } from './vm.ts';

const HostParams = Type.Object({ host: Name });
const VmParams = Type.Object({ vm: Name });
const MigrationParams = Type.Object({ migration: Uuid });
const Nothing = Type.Object({});

export const VmCreation = Type.Object({ host: Name, definition: VmDefinition }, { additionalProperties: false });
export const VmStop = Type.Object(
  { force: Type.Boolean({ default: false, description: 'Do not ask the guest; cut its power' }) },
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

  listHosts: { method: 'GET', path: '/v1/hosts', summary: 'All hosts', response: Type.Array(Host), status: 200 },
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

  listVms: { method: 'GET', path: '/v1/vms', summary: 'All VMs', response: Type.Array(Vm), status: 200 },
  createVm: { method: 'POST', path: '/v1/vms', summary: 'Define a VM on a host', body: VmCreation, response: Vm, status: 201 },
  getVm: { method: 'GET', path: '/v1/vms/:vm', summary: 'One VM', params: VmParams, response: Vm, status: 200 },
  startVm: { method: 'POST', path: '/v1/vms/:vm/start', summary: 'Power on', params: VmParams, response: Vm, status: 200 },
  stopVm: { method: 'POST', path: '/v1/vms/:vm/stop', summary: 'Shut down', params: VmParams, body: VmStop, response: Vm, status: 200 },
  removeVm: {
    method: 'DELETE',
    path: '/v1/vms/:vm',
    summary: 'Forget a stopped VM; its disks stay',
    params: VmParams,
    response: Nothing,
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
  listMigrations: {
    method: 'GET',
    path: '/v1/migrations',
    summary: 'Migrations, newest first',
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
