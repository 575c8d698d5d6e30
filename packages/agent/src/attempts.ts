/** The seam between the daemon (API, VMs, files) and the code that moves VMs (migration/): what each gives the other. */
import type {
  AttemptReport,
  HostIdentity,
  IncomingAnswer,
  IncomingRequest,
  KeyOffer,
  KeyRequest,
  LimitsChange,
  OutgoingRequest,
  ResolveRequest,
  SettleAnswer,
  SettleRequest,
} from '@sealift/contract';
import type { Logger } from 'pino';
import type { Certificates } from './certificates.ts';
import type { Journal } from './journal.ts';
import type { ListenAddress } from './options.ts';
import type { VmHost } from './vms/host.ts';

/** What this host gives to whoever moves its VMs. */
export interface AgentHost {
  readonly identity: HostIdentity;
  readonly certificates: Certificates;
  readonly vms: VmHost;
  /** Its records are those of migrations only. */
  readonly journal: Journal;
  /** Where sealed channels may come in. Checked at start-up; nothing listens there until a spec is live. */
  readonly migrationListen: readonly ListenAddress[];
  /** For the sockets of migrations, a directory each; it exists and is root's alone. */
  readonly runDirectory: string;
  /** How many worker threads may carry channels. */
  readonly threads: number;
  /** For debugging: where the secrets of every migration are written. */
  readonly keylog?: { readonly file: string; readonly fd: number } | undefined;
  /** For tests: the directory that says at which stages migrations are held. */
  readonly breakpoints?: string | undefined;
  /** Policy: it seals nothing, and takes part in clear migrations only. */
  readonly noSeal?: boolean | undefined;
  readonly log: Logger;
}

/** Every attempt that this host takes part in. Methods reject with SealiftError. */
export interface Attempts {
  /** Finishes or undoes what the journal says was under way. Called once, when every QEMU is attached again and before the API is served. */
  recover(): Promise<void>;
  /** The daemon stops: nothing listens any more and no thread runs; QEMUs and the journal stay as they are. */
  close(): Promise<void>;
  offerKey(request: KeyRequest): Promise<KeyOffer>;
  /** Resolves when QEMU is ready for the VM and the migration ports are listened on. */
  incoming(request: IncomingRequest): Promise<IncomingAnswer>;
  /** Resolves when the order is accepted; the move goes on by itself. */
  outgoing(request: OutgoingRequest): Promise<AttemptReport>;
  /** @throws SealiftError `not_found` */
  get(migration: string): Promise<AttemptReport>;
  /** @throws SealiftError `not_found`; `wrong_state` once it is granted */
  cancel(migration: string): Promise<AttemptReport>;
  /** Changes limits while it runs. @throws SealiftError `not_found`; `wrong_state` at the destination and once it is granted */
  adjust(migration: string, change: LimitsChange): Promise<AttemptReport>;
  /** What the other host says of an attempt, and what this one says. @throws SealiftError `not_found`, `not_authorised` */
  settle(migration: string, request: SettleRequest): Promise<SettleAnswer>;
  /** An administrator's decision: in the journal when this resolves, and a copy that the destination gave up is gone. Repeats change nothing. @throws SealiftError `not_found`, `wrong_state` */
  resolve(migration: string, request: ResolveRequest): Promise<AttemptReport>;
  /** The report as it is now, then each change until a final phase has been reported or `signal` aborts. */
  watch(migration: string, signal: AbortSignal): AsyncIterable<AttemptReport>;
  /** The attempt that has to do with this VM now. */
  migrationOf(vm: string): { readonly migration: string; readonly role: 'source' | 'destination' } | undefined;
}

export type CreateAttempts = (host: AgentHost) => Attempts;
