/** What each route of the agent's API does. */
import { type agentApi, type MigrationSpec, SealiftError, type VmDefinition } from '@sealift/contract';
import type { AgentHost, Attempts } from '../attempts.ts';
import type { Images } from '../disks/images.ts';
import { type HostReporter, noSealReason } from '../host-report.ts';
import type { Vm } from '../vms/vm.ts';
import type { Handlers } from './server.ts';

export function createHandlers(host: AgentHost, attempts: Attempts, reporter: HostReporter, images: Images): Handlers<typeof agentApi> {
  const { vms } = host;
  const { adopted } = reporter;
  const order = async (name: string, act: (name: string) => Promise<Vm>) => {
    adopted.requireOurs(name);
    return reporter.vm(await act(name));
  };
  /** The manager has decided. What this host was told itself, by its administrator or in the VM's own definition, holds all the same. */
  const requireAllowed = ({ suite }: MigrationSpec, { name, encryption }: VmDefinition): void => {
    if (suite === 'none' && encryption === 'required') {
      throw new SealiftError('encryption_required', `${name} must be sealed (encryption required), and this migration is to be clear`);
    }
    if (!host.noSeal || suite === 'none') return;
    const why = noSealReason(host.identity.name);
    throw new SealiftError('encryption_required', `${why}: it takes part in clear migrations only, and this one is to be sealed`);
  };
  return {
    host: () => reporter.report(),

    defineVm: async ({ body }) => {
      adopted.requireFree(body.name);
      return reporter.newVm(await vms.define(body));
    },
    getVm: async ({ params }) => adopted.find(params.vm) ?? reporter.vm(vms.vm(params.vm)),
    startVm: ({ params }) => order(params.vm, (name) => vms.start(name)),
    stopVm: ({ params, body }) => order(params.vm, (name) => vms.stop(name, body.force)),
    changeVm: async ({ params, body }) => {
      adopted.requireOurs(params.vm);
      return reporter.newVm(await vms.change(params.vm, body));
    },
    resetVm: ({ params }) => order(params.vm, (name) => vms.reset(name)),
    suspendVm: ({ params }) => order(params.vm, (name) => vms.suspend(name)),
    resumeVm: ({ params }) => order(params.vm, (name) => vms.resume(name)),
    removeVm: async ({ params, query }) => {
      adopted.requireOurs(params.vm);
      return vms.remove(params.vm, query?.keepDisks);
    },
    consoleOfVm: async ({ params }) => {
      adopted.requireOurs(params.vm);
      return vms.console(params.vm);
    },

    listImages: () => images.list(),
    importImage: ({ body }) => images.import(body),
    removeImage: async ({ params }) => {
      await images.remove(params.pool, params.image);
      return {};
    },

    offerKey: ({ body }) => attempts.offerKey(body),
    incoming: async ({ body }) => {
      requireAllowed(body.spec, body.vm);
      adopted.requireFree(body.vm.name);
      return attempts.incoming(body);
    },
    outgoing: async ({ body }) => {
      adopted.requireOurs(body.vm);
      requireAllowed(body.spec, vms.vm(body.vm).definition);
      return attempts.outgoing(body);
    },
    getAttempt: ({ params }) => attempts.get(params.migration),
    cancelAttempt: ({ params }) => attempts.cancel(params.migration),
    adjustAttempt: ({ params, body }) => attempts.adjust(params.migration, body),
    settleAttempt: ({ params, body }) => attempts.settle(params.migration, body),
    resolveAttempt: ({ params, body }) => attempts.resolve(params.migration, body),
    watchAttempt: ({ params }, signal) => attempts.watch(params.migration, signal),
  };
}
