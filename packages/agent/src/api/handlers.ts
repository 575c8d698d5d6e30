/** What each route of the agent's API does. */
import type { agentApi } from '@sealift/contract';
import type { AgentHost, Attempts } from '../attempts.ts';
import { type QemuFacts, reportHost, reportVm } from '../host-report.ts';
import type { Handlers } from './server.ts';

export function createHandlers(host: AgentHost, attempts: Attempts, qemu: QemuFacts, version: string): Handlers<typeof agentApi> {
  const { vms } = host;
  return {
    host: () => reportHost(host, attempts, qemu, version),

    defineVm: async ({ body }) => reportVm(await vms.define(body), attempts),
    getVm: async ({ params }) => reportVm(vms.vm(params.vm), attempts),
    startVm: async ({ params }) => reportVm(await vms.start(params.vm), attempts),
    stopVm: async ({ params, body }) => reportVm(await vms.stop(params.vm, body.force), attempts),
    changeVm: async ({ params, body }) => reportVm(await vms.change(params.vm, body), attempts),
    resetVm: async ({ params }) => reportVm(await vms.reset(params.vm), attempts),
    suspendVm: async ({ params }) => reportVm(await vms.suspend(params.vm), attempts),
    resumeVm: async ({ params }) => reportVm(await vms.resume(params.vm), attempts),
    removeVm: async ({ params }) => {
      await vms.remove(params.vm);
      return {};
    },
    consoleOfVm: ({ params }) => vms.console(params.vm),

    offerKey: ({ body }) => attempts.offerKey(body),
    incoming: ({ body }) => attempts.incoming(body),
    outgoing: ({ body }) => attempts.outgoing(body),
    getAttempt: ({ params }) => attempts.get(params.migration),
    cancelAttempt: ({ params }) => attempts.cancel(params.migration),
    adjustAttempt: ({ params, body }) => attempts.adjust(params.migration, body),
    settleAttempt: ({ params, body }) => attempts.settle(params.migration, body),
    resolveAttempt: ({ params, body }) => attempts.resolve(params.migration, body),
    watchAttempt: ({ params }, signal) => attempts.watch(params.migration, signal),
  };
}
