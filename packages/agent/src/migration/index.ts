/** The book of attempts: every migration that this host takes part in, from the order to what the journal keeps of it. */
import { readdir } from 'node:fs/promises';
import {
  type AttemptReport,
  finalPhases,
  type IncomingAnswer,
  type IncomingRequest,
  type KeyOffer,
  type KeyRequest,
  type LimitsChange,
  type MigrationSpec,
  type OutgoingRequest,
  type ResolveRequest,
  SealiftError,
  type SettleAnswer,
  type SettleRequest,
} from '@sealift/contract';
import { queryRunState } from '@sealift/hypervisor';
import { Transport, type TransportOptions } from '@sealift/transport';
import type { AgentHost, Attempts } from '../attempts.ts';
import { destinationRestart } from '../handover/destination.ts';
import { type HandoverRecord, keyOf, lastRecords, liveRecords, type RunState } from '../handover/records.ts';
import { sourceRestart } from '../handover/source.ts';
import type { Vm } from '../vms/vm.ts';
import { breakpointsIn, noBreakpoints } from './breakpoints.ts';
import { Incoming } from './incoming.ts';
import { notBegun } from './journal-refused.ts';
import { KeyOffers } from './keys.ts';
import { Outgoing } from './outgoing.ts';
import { isFinal } from './report.ts';
import { asked, removeDirectory, type Side, type Workplace } from './side.ts';
import { checkSpec, copiedDisks } from './spec.ts';

/** Ended attempts that are still answered for by their full report. */
const keptReports = 200;

class Book implements Attempts {
  readonly #host: AgentHost;
  readonly #workplace: Workplace;
  readonly #keys = new KeyOffers();
  /** By migration: its last attempt here. */
  readonly #sides = new Map<string, Side>();
  /** Every attempt that the journal has accepted: none is accepted twice. */
  readonly #seen: Set<string>;

  constructor(host: AgentHost, options: Pick<TransportOptions, 'epochBits'>) {
    this.#host = host;
    const { threads, keylog } = host;
    this.#workplace = {
      host,
      transport: new Transport({ ...options, threads, ...(keylog && { keylogFd: keylog.fd }) }),
      breakpoints: host.breakpoints === undefined ? noBreakpoints : breakpointsIn(host.breakpoints),
    };
    this.#seen = new Set(lastRecords(host.journal.records).keys());
  }

  async recover(): Promise<void> {
    for (const record of lastRecords(this.#host.journal.records).values()) await this.#recoverOne(record);
    for (const vm of this.#host.vms.list()) if (vm.incoming !== undefined && vm.moving === 'moving-in') await this.#recoverStray(vm);
    for (const name of await readdir(this.#host.runDirectory)) await removeDirectory(this.#host, name);
  }

  async close(): Promise<void> {
    this.#keys.clear();
    await Promise.all([...this.#sides.values()].map((side) => side.detach()));
    await this.#workplace.transport.close();
  }

  async offerKey(request: KeyRequest): Promise<KeyOffer> {
    this.#requireNew(request);
    return { publicKey: this.#keys.offer(request).toString('base64url') };
  }

  async incoming(request: IncomingRequest): Promise<IncomingAnswer> {
    const { spec, vm } = request;
    checkSpec(spec, 'destination', this.#host.identity, Date.now());
    this.#requireNew(spec);
    const key = this.#keys.unwrap(spec, request.key);
    const identity = { ...spec, peer: { ...spec.source, endpoint: request.peer } };
    const side = new Incoming(this.#workplace, identity, { name: vm.name, vm: undefined });
    this.#add(spec, side);
    return side.start(request, key).catch((error: unknown) => notBegun(error, vm.name, spec.source.name));
  }

  async outgoing(request: OutgoingRequest): Promise<AttemptReport> {
    const { spec } = request;
    checkSpec(spec, 'source', this.#host.identity, Date.now());
    this.#requireNew(spec);
    const vm = this.#host.vms.vm(request.vm);
    vm.requireSettled();
    const runState = await runStateOf(vm);
    // Asking QEMU took a moment, in which another order may have come.
    this.#requireNew(spec);
    vm.requireSettled();
    const key = this.#keys.unwrap(spec, request.key);
    const identity = { ...spec, peer: { ...spec.destination, endpoint: request.peer } };
    const side = new Outgoing(this.#workplace, identity, { name: vm.name, vm, runState, ownDisks: ownDisks(spec) });
    try {
      side.start(spec, key, request.endpoints);
    } catch (error) {
      notBegun(error, vm.name, spec.source.name);
    }
    this.#add(spec, side);
    return side.report.value;
  }

  async get(migration: string): Promise<AttemptReport> {
    return this.#side(migration).report.value;
  }

  async cancel(migration: string): Promise<AttemptReport> {
    const side = this.#side(migration);
    if (isFinal(side.report.value)) {
      throw new SealiftError('wrong_state', `the migration has ended already: ${side.report.value.phase}`);
    }
    await side.cancel();
    return side.report.value;
  }

  async adjust(migration: string, change: LimitsChange): Promise<AttemptReport> {
    const side = this.#side(migration);
    await side.adjust(change);
    return side.report.value;
  }

  async settle(migration: string, request: SettleRequest): Promise<SettleAnswer> {
    return this.#attempt(migration, request.attempt).settle(request);
  }

  async resolve(migration: string, { attempt, keep }: ResolveRequest): Promise<AttemptReport> {
    const side = this.#attempt(migration, attempt);
    // A VM that has been moved since is not what this decision is about.
    const last = [...lastRecords(this.#host.journal.records).values()].findLast(({ vm }) => vm === side.vmName);
    if (last && last.migration !== migration) {
      throw new SealiftError(
        'wrong_state',
        `${side.vmName} has been moved by migration ${last.migration} since; this one needs no decision`,
      );
    }
    this.#host.log.warn({ migration, vm: side.vmName, keep }, 'an administrator decides a migration');
    return side.resolve(keep);
  }

  watch(migration: string, signal: AbortSignal): AsyncIterable<AttemptReport> {
    return this.#side(migration).report.watch(signal);
  }

  migrationOf(vm: string): { migration: string; role: 'source' | 'destination' } | undefined {
    for (const side of this.#sides.values()) {
      const { migration, phase } = side.report.value;
      if (side.vmName === vm && !finalPhases.includes(phase)) return { migration, role: side.role };
    }
    return undefined;
  }

  #side(migration: string): Side {
    const side = this.#sides.get(migration);
    if (!side) throw new SealiftError('not_found', `this host knows no migration ${migration}`);
    return side;
  }

  /** Also one whose report is not kept any more: the journal says how it ended. */
  #attempt(migration: string, attempt: number): Side {
    const side = this.#sides.get(migration) ?? this.#ended(keyOf({ migration, attempt }));
    if (!side || side.report.value.attempt !== attempt) {
      throw new SealiftError('not_found', `this host knows no attempt ${attempt} of migration ${migration}`);
    }
    return side;
  }

  #ended(key: string): Side | undefined {
    const record = lastRecords(this.#host.journal.records).get(key);
    return record?.step === 'ended' ? this.#sideOf(record).side : undefined;
  }

  #requireNew(attempt: { readonly migration: string; readonly attempt: number }): void {
    if (this.#seen.has(keyOf(attempt))) {
      throw new SealiftError('already_exists', `attempt ${attempt.attempt} of migration ${attempt.migration} was accepted here before`);
    }
  }

  #add(spec: { readonly migration: string; readonly attempt: number }, side: Side): void {
    const { journal } = this.#host;
    this.#seen.add(keyOf(spec));
    this.#sides.delete(spec.migration);
    this.#sides.set(spec.migration, side);
    for (const [migration, old] of this.#sides) {
      if (this.#sides.size <= keptReports) break;
      if (isFinal(old.report.value)) this.#sides.delete(migration);
    }
    try {
      if (journal.grown) journal.compact(liveRecords(journal.records, Date.now()));
    } catch (error) {
      // It has taken the record of this attempt, whatever it is worth: what comes next says so if it takes no more.
      this.#host.log.error({ err: error }, 'the journal could not be made smaller');
    }
  }

  async #recoverOne(record: HandoverRecord): Promise<void> {
    const { side, begin } = this.#sideOf(record);
    this.#sides.set(record.migration, side);
    await begin();
    if (record.step === 'ended') return;
    this.#host.log.warn({ migration: record.migration, vm: record.vm, step: record.step }, 'took up a migration again');
  }

  /** A VM that still carries the mark of a migration, although the journal has no unfinished one of it. */
  async #recoverStray(vm: Vm): Promise<void> {
    // It came, and the mark could not be taken off; or the journal was moved away, and it runs all the same.
    const runs = vm.pid !== undefined && (await asked(() => queryRunState(vm.monitor))) === 'running';
    this.#host.log.warn({ vm: vm.name, migration: vm.incoming, runs }, 'a VM was left by a migration that is over; kept where it runs');
    await (runs ? this.#host.vms.adoptIncoming(vm) : this.#host.vms.discard(vm));
  }

  /** An attempt as its last record leaves it. @returns with what is to be done first */
  #sideOf(record: HandoverRecord): { readonly side: Side; readonly begin: () => Promise<void> } {
    const vm = this.#host.vms.find(record.vm);
    if (record.role === 'source') {
      const { state, effects } = sourceRestart(record.step, record.outcome, record.postcopy);
      const { runState, resolved, ownDisks = 'keep' } = record;
      const side = new Outgoing(this.#workplace, record, { name: record.vm, vm, runState, ownDisks: resolved ? 'keep' : ownDisks }, state);
      return { side, begin: () => side.resume(effects) };
    }
    const { state, effects } = destinationRestart(record.step, record.runState, record.outcome, record.postcopy);
    // From RUN on it is this host's; it may have been adopted just before the agent went down.
    const here = vm?.incoming === record.migration || (record.step === 'run' && vm?.incoming === undefined) ? vm : undefined;
    const side = new Incoming(this.#workplace, record, { name: record.vm, vm: here }, state);
    return { side, begin: () => side.resume(effects) };
  }
}

/** What was not copied is on no other host. */
const ownDisks = (spec: MigrationSpec): 'keep' | 'remove' => (copiedDisks(spec).length > 0 && !spec.keepSourceDisks ? 'remove' : 'keep');

/** @throws SealiftError `wrong_state` where the VM is neither running nor paused */
async function runStateOf(vm: Vm): Promise<RunState> {
  if (vm.pid === undefined)
    throw new SealiftError('wrong_state', `${vm.name} is ${vm.state}; only a running or paused VM can be moved live`);
  const state = await queryRunState(vm.monitor);
  if (state === 'running') return 'running';
  if (state === 'paused' || state === 'postmigrate' || state === 'prelaunch') return 'paused';
  throw new SealiftError('wrong_state', `${vm.name}'s QEMU says ${state}; only a running or paused VM can be moved live`);
}

/** @param options for tests only, and then alike at both hosts */
export const createAttempts = (host: AgentHost, options: Pick<TransportOptions, 'epochBits'> = {}): Attempts => new Book(host, options);
