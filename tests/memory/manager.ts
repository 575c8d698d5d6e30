/** The part of a manager that has keys, as a process of its own: makes a spec's key and wraps it for two agents, whenever it is sent their offers. */
import type { KeyOffer, MigrationSpec } from '../../packages/contract/src/index.ts';
import { makeWrappedKeys } from '../../packages/manager/src/migrations/spec/make.ts';
import { hardenProcess } from '../../packages/manager/src/startup/hardening.ts';

hardenProcess();
process.on('message', ({ spec, offers }: { spec: MigrationSpec; offers: { source: KeyOffer; destination: KeyOffer } }) => {
  process.send?.({ wrapped: makeWrappedKeys(spec, offers) });
});
process.once('disconnect', () => process.exit(0));
