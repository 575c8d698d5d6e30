/** The API between the manager and an agent: on the agent, over mutual TLS 1.3. */
import { Type } from 'typebox';
import { HostReport, Image, ImageImport } from './host.ts';
import { LimitsChange } from './migration.ts';
import { Name, Uuid } from './names.ts';
import { VmRemoving, VmStop } from './public-api.ts';
import { defineApi } from './route.ts';
import { ResolveRequest, SettleAnswer, SettleRequest } from './settlement.ts';
import { AttemptReport, IncomingAnswer, IncomingRequest, KeyOffer, KeyRequest, OutgoingRequest } from './spec.ts';
import { AgentVm, ImageName, VmDefinition, VmRemoval } from './vm.ts';

const VmParams = Type.Object({ vm: Name });
const ImageParams = Type.Object({ pool: Name, image: ImageName });
const AttemptParams = Type.Object({ migration: Uuid });
const Nothing = Type.Object({});

export const agentApi = defineApi({
  host: { method: 'GET', path: '/v1/host', summary: 'What this host is and has', response: HostReport, status: 200 },

  defineVm: { method: 'POST', path: '/v1/vms', summary: 'Define a VM', body: VmDefinition, response: AgentVm, status: 201 },
  getVm: { method: 'GET', path: '/v1/vms/:vm', summary: 'One VM', params: VmParams, response: AgentVm, status: 200 },
  startVm: { method: 'POST', path: '/v1/vms/:vm/start', summary: 'Power on', params: VmParams, response: AgentVm, status: 200 },
  stopVm: {
    method: 'POST',
    path: '/v1/vms/:vm/stop',
    summary: 'Shut down',
    params: VmParams,
    body: VmStop,
    response: AgentVm,
    status: 200,
  },
  changeVm: {
    method: 'PUT',
    path: '/v1/vms/:vm',
    summary: 'Change its definition: all of it while it is off, the encryption mode at any time',
    params: VmParams,
    body: VmDefinition,
    response: AgentVm,
    status: 200,
  },
  resetVm: {
    method: 'POST',
    path: '/v1/vms/:vm/reset',
    summary: 'Reset, as its button does',
    params: VmParams,
    response: AgentVm,
    status: 200,
  },
  suspendVm: { method: 'POST', path: '/v1/vms/:vm/suspend', summary: 'Pause its vCPUs', params: VmParams, response: AgentVm, status: 200 },
  resumeVm: {
    method: 'POST',
    path: '/v1/vms/:vm/resume',
    summary: 'Let a paused VM run',
    params: VmParams,
    response: AgentVm,
    status: 200,
  },
  removeVm: {
    method: 'DELETE',
    path: '/v1/vms/:vm',
    summary: 'Forget a stopped VM, and remove the disks that were made for it in pools',
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

  listImages: { method: 'GET', path: '/v1/images', summary: 'Images of every pool', response: Type.Array(Image), status: 200 },
  importImage: {
    method: 'POST',
    path: '/v1/images',
    summary: 'Copy a file of this host into a pool, for disks to be made from',
    body: ImageImport,
    response: Image,
    status: 201,
  },
  removeImage: {
    method: 'DELETE',
    path: '/v1/pools/:pool/images/:image',
    summary: 'Remove an image that no clone needs',
    params: ImageParams,
    response: Nothing,
    status: 200,
  },

  offerKey: {
    method: 'POST',
    path: '/v1/attempts/keys',
    summary: 'A public key for one attempt',
    body: KeyRequest,
    response: KeyOffer,
    status: 201,
  },
  incoming: {
    method: 'POST',
    path: '/v1/attempts/incoming',
    summary: 'Be the destination: reserve, start QEMU, listen',
    body: IncomingRequest,
    response: IncomingAnswer,
    status: 201,
  },
  outgoing: {
    method: 'POST',
    path: '/v1/attempts/outgoing',
    summary: 'Be the source: move the VM',
    body: OutgoingRequest,
    response: AttemptReport,
    status: 202,
  },
  getAttempt: {
    method: 'GET',
    path: '/v1/attempts/:migration',
    summary: 'One attempt',
    params: AttemptParams,
    response: AttemptReport,
    status: 200,
  },
  cancelAttempt: {
    method: 'POST',
    path: '/v1/attempts/:migration/cancel',
    summary: 'Stop before the grant; refused after it',
    params: AttemptParams,
    response: AttemptReport,
    status: 202,
  },
  adjustAttempt: {
    method: 'PUT',
    path: '/v1/attempts/:migration/limits',
    summary: 'Change limits while it runs; the source only, and before the grant',
    params: AttemptParams,
    body: LimitsChange,
    response: AttemptReport,
    status: 200,
  },
  settleAttempt: {
    method: 'POST',
    path: '/v1/attempts/:migration/settle',
    summary:
      "Tell what the other host says of it, ask what this one says. For the other host's agent too, which needs no more than its certificate",
    params: AttemptParams,
    body: SettleRequest,
    response: SettleAnswer,
    status: 200,
  },
  resolveAttempt: {
    method: 'POST',
    path: '/v1/attempts/:migration/resolve',
    summary: "An administrator's decision: keep this host's copy or give it up. Repeats change nothing",
    params: AttemptParams,
    body: ResolveRequest,
    response: AttemptReport,
    status: 202,
  },
  watchAttempt: {
    method: 'GET',
    path: '/v1/attempts/:migration/events',
    summary: 'Progress until the attempt has ended',
    params: AttemptParams,
    response: AttemptReport,
    status: 200,
    stream: 'events',
  },
});
