/** An attempt at its destination: drives QEMU and the channels as handover/destination.ts decides. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import {
  type AttemptReport,
  type IncomingAnswer,
  type IncomingRequest,
  type Keep,
  SealiftError,
  type SettleAnswer,
  type SettleRequest,
  type Verdict,
} from '@sealift/contract';
import { configureMigration, queryRunState, startIncoming } from '@sealift/hypervisor';
import { formatAddress, type Grant, type Session } from '@sealift/transport';
import type { Logger } from 'pino';
import {
  type DestinationEffect,
  type DestinationEvent,
  type DestinationState,
  destinationStart,
  destinationStep,
} from '../handover/destination.ts';
import { Machine } from '../handover/machine.ts';
import type { DestinationRecord, DestinationStep, Failure, RunState } from '../handover/records.ts';
import { Settlement } from '../settlement/settlement.ts';
import type { Vm } from '../vms/vm.ts';
import { withAdvice } from './advice.ts';
import type { Stage } from './breakpoints.ts';
import { DisksIn } from './disks-in.ts';
import { refusedAtDestination } from './journal-refused.ts';
import { announce, letRun } from './let-run.ts';
import { watchLoading } from './loading.ts';
import { destinationPhase } from './phases.ts';
import { endVm, findOutWhatIsMissing, takingPostcopy } from './postcopy.ts';
import { Report } from './report.ts';
import { destinationHasDecided, destinationVerdict, Resolution, undecidable } from './resolution.ts';
import { resultOf } from './result.ts';
import {
  type AttemptIdentity,
  asked,
  cancelled,
  closeSession,
  directoryOf,
  failureOf,
  insist,
  QemuCpu,
  removeDirectory,
  type Side,
  tooLateToCancel,
  type Workplace,
} from './side.ts';
import { copiedDisks, copiesOf, multifdChannels, toAttempt } from './spec.ts';

/** A source that is on its way opens its channels within this time; its own limit for that is shorter. */
const openingMs = 30_000;
/** From the grant to a loaded VM: the bytes are all here or in the sockets' buffers by then. */
const loadMs = 60_000;

export class Incoming implements Side {
  readonly role = 'destination';
  readonly vmName: string;
  readonly report: Report;
  readonly #workplace: Workplace;
  readonly #identity: AttemptIdentity;
  readonly #log: Logger;
  readonly #machine: Machine<DestinationState, DestinationEvent, DestinationEffect>;
  readonly #settlement: Settlement;
  readonly #resolution = new Resolution();
  #cpu = new QemuCpu(undefined);
  #vm: Vm | undefined;
  #disks: DisksIn | undefined;
  #session: Session | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopListening: (() => void) | undefined;
  /** The source is known to know how it ended. */
  #peerKnows = false;

  /** @param state where the machine is: {@link destinationStart}, or what the journal says after a restart */
  constructor(
    workplace: Workplace,
    identity: AttemptIdentity,
    vm: { readonly name: string; readonly vm: Vm | undefined },
    state: DestinationState = destinationStart,
  ) {
    this.#workplace = workplace;
    this.#identity = identity;
    this.vmName = vm.name;
    this.#vm = vm.vm;
    this.#log = workplace.host.log.child({ migration: identity.migration, vm: vm.name, role: 'destination' });
    const { migration, attempt } = identity;
    const names = { vm: vm.name, host: workplace.host.identity.name, peer: identity.peer.name };
    this.#settlement = new Settlement(workplace.host, { migration, attempt, vm: vm.name }, identity.peer, this.#log);
    this.report = new Report({ migration, attempt, role: 'destination', vm: vm.name, phase: destinationPhase(state) ?? 'preparing' });
    this.#machine = new Machine<DestinationState, DestinationEvent, DestinationEffect>({
      state,
      step: destinationStep,
      perform: (effect) => this.#perform(effect),
      changed: (now) => this.#changed(now),
      journalFailed: (failure) => ({ type: 'journal-failed', failure: refusedAtDestination(failure, names) }),
      broken: (error) => {
        this.#log.error({ err: error }, 'a step of the migration failed');
        this.#machine.dispatch({ type: 'failed', failure: failureOf(error, 'hypervisor') });
      },
    });
  }

  /**
   * Reserves, starts QEMU, listens. On failure nothing is left.
   *
   * @param key the spec's key: taken, which wipes it
   * @returns where the source's channels may come in
   */
  async start(request: IncomingRequest, key: Buffer): Promise<IncomingAnswer> {
    try {
      this.#record('prepared');
      return await this.#prepare(request, key);
    } catch (error) {
      // Wiped already where the transport has taken it.
      key.fill(0);
      this.#machine.dispatch({ type: 'failed', failure: failureOf(error, 'hypervisor') });
      throw error;
    }
  }

  /** After a restart: does first what the journal says is to be done. */
  resume(effects: readonly DestinationEffect[]): Promise<void> {
    if (this.#vm?.pid !== undefined) this.#watch(this.#vm);
    return this.#machine.begin(effects);
  }

  async cancel(): Promise<void> {
    let { state } = this.#machine;
    if (state.at === 'receiving') state = await this.#machine.ask({ type: 'cancel', failure: cancelled });
    if (!destinationHasDecided(state, 'source')) throw tooLateToCancel(this.vmName, this.#identity);
  }

  async adjust(): Promise<void> {
    throw new SealiftError('wrong_state', `${this.vmName} is on its way here: its limits are its source's to change`);
  }

  settle({ challenge, statement }: SettleRequest): SettleAnswer {
    if (statement) {
      const { verdict, fresh } = this.#settlement.believe(statement);
      this.#hear(verdict, fresh);
    }
    const verdict = destinationVerdict(this.#machine.state);
    return verdict ? { statement: this.#settlement.say(verdict, challenge) } : {};
  }

  async resolve(keep: Keep): Promise<AttemptReport> {
    const { state } = this.#machine;
    if (destinationHasDecided(state, keep)) return this.report.value;
    if (keep === 'source' && state.at !== 'arriving' && state.at !== 'losing') {
      this.#vm ??= this.#workplace.host.vms.find(this.vmName);
      await this.#resolution.wait(() => this.#machine.dispatch({ type: 'drop' }));
    } else if (state.at === 'returning') this.#machine.dispatch({ type: 'keep' });
    else throw undecidable(this.vmName, state.at, keep, this.#identity.peer.name);
    return this.report.value;
  }

  async detach(): Promise<void> {
    this.#settlement.stop();
    clearTimeout(this.#timer);
    this.#disks?.close();
    await this.#session?.drop();
  }

  async #prepare({ spec, vm: definition }: IncomingRequest, key: Buffer): Promise<IncomingAnswer> {
    const { host, transport } = this.#workplace;
    const copies = copiesOf(spec, definition);
    const vm = await host.vms.prepareIncoming(definition, { migration: spec.migration, copies });
    this.#vm = vm;
    this.#cpu = new QemuCpu(vm.pid);
    await this.#cpu.sample();
    this.#watch(vm);
    const directory = directoryOf(host, spec.migration);
    const socket = path.join(directory, 'in');
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const { monitor } = vm;
    const failed = (failure: Failure) => this.#machine.dispatch({ type: 'failed', failure });
    const settings = { ...spec.limits, multifdChannels: multifdChannels(spec), role: 'destination' } as const;
    await configureMigration(monitor, settings).catch(takingPostcopy(spec, this.vmName));
    this.#stopListening = watchLoading(vm, {
      loaded: async (what) => {
        await this.#workplace.breakpoints.at('loaded', spec.migration);
        this.#machine.dispatch({ type: what });
      },
      failed,
    });
    if (copies.length > 0) {
      this.#disks = new DisksIn({ monitor, vm: definition, host: host.identity.name, disks: copiedDisks(spec), directory, failed });
      await this.#disks.start();
    }
    await this.#workplace.breakpoints.at('preparing', spec.migration);
    await startIncoming(monitor, socket);
    const { session, addresses } = await transport.accept(toAttempt(spec), key, host.migrationListen, {
      failed: ({ code, message }) => this.#machine.dispatch({ type: 'failed', failure: { code, message } }),
      control: (message) => {
        if (message.type === 'grant') void this.#granted(message.grant);
        else if (message.type === 'aborted') this.#machine.dispatch({ type: 'aborted' });
      },
    });
    this.#session = session;
    session.connectLocal(socket);
    this.#disks?.connect(session);
    this.#within(openingMs, { code: 'hello', message: 'the source did not open its channels in time' });
    session.confirmed.then(
      () => {
        clearTimeout(this.#timer);
        if (this.#machine.state.at === 'receiving') this.report.update({ phase: 'copying' });
      },
      () => undefined,
    );
    session.delivered.then(
      async (totals) =>
        this.#machine.dispatch({ type: 'delivered', totals, ...(this.#disks && { diskWrites: await this.#disks.applied() }) }),
      () => undefined,
    );
    return { endpoints: addresses.map(formatAddress) };
  }

  #watch(vm: Vm): void {
    void vm.exited.then(() => {
      // While it is being run, that step says what became of it.
      if (this.#machine.state.at !== 'running') this.#machine.dispatch({ type: 'vm-gone' });
    });
  }

  async #perform(effect: DestinationEffect): Promise<void> {
    const { host } = this.#workplace;
    switch (effect.type) {
      case 'journal':
        await this.#journal(effect);
        return;
      case 'find-out': {
        if (effect.postcopy && this.#vm) this.#machine.dispatch(await findOutWhatIsMissing(this.#vm));
        else await this.#findOut(effect.runState);
        return;
      }
      case 'say-running':
        clearTimeout(this.#timer);
        this.#session?.running();
        if (this.#vm) await announce(this.#vm, this.#log);
        return;
      case 'end-vm':
        this.#machine.dispatch(this.#vm ? await endVm(this.#vm, host.vms, this.#log) : { type: 'discarded' });
        return;
      case 'run':
        await this.#run(effect.runState);
        return;
      case 'settle-in':
        await this.#settleIn();
        return;
      case 'discard':
        clearTimeout(this.#timer);
        await this.#cpu.sample();
        await this.#discard();
        this.#machine.dispatch({ type: 'discarded' });
        return;
      case 'abort-channels':
        await this.#session?.abort();
        await removeDirectory(host, this.#identity.migration);
        return;
    }
  }

  async #journal({ step, required, ...more }: Extract<DestinationEffect, { type: 'journal' }>): Promise<void> {
    try {
      const { type: _, ...said } = more;
      this.#record(step, { ...said, ...(this.#peerKnows && { heard: true }) });
      if (more.resolved) this.#superseded();
    } catch (error) {
      this.#resolution.failed(error);
      if (required) throw error;
      this.#log.error({ err: error, step }, 'the journal does not take records');
    }
    if (step === 'ended') await this.#finish();
  }

  #superseded(): void {
    const { peer } = this.#identity;
    this.#log.warn(
      { source: peer.name },
      'superseded: an administrator kept the copy at the source; the one here is removed and never runs again',
    );
    this.report.update({ resolved: 'source' });
  }

  /** @param fresh the source said it after this agent was back: an older GRANT may have been overtaken by an administrator */
  #hear(verdict: Verdict, fresh: boolean): void {
    if (verdict === 'aborted') this.#machine.dispatch({ type: 'aborted' });
    else if (verdict === 'granted' && fresh) this.#machine.dispatch({ type: 'cleared' });
  }

  /** After a restart with RUN in the journal: `cont` may have been said or not. */
  async #findOut(runState: RunState): Promise<void> {
    const vm = this.#vm;
    if (vm?.pid === undefined) {
      this.#machine.dispatch({ type: 'vm-gone' });
      return;
    }
    const state = await asked(() => queryRunState(vm.monitor));
    // A VM that was paused does not show whether it was let go; asking does no harm. One that was ended by its guest has run.
    if (state !== undefined && state !== 'paused' && runState === 'running') {
      this.#machine.dispatch({ type: 'runs' });
      return;
    }
    vm.setMoving('in-doubt', this.#identity.migration);
    this.report.update({ challenge: this.#settlement.challenge });
    this.#settlement.start((verdict) => this.#hear(verdict, true));
  }

  async #granted(grant: Grant): Promise<void> {
    await this.#workplace.breakpoints.at('grant-received', this.#identity.migration);
    this.#machine.dispatch({ type: 'grant', grant });
  }

  async #run(runState: RunState): Promise<void> {
    const hold = (stage: Stage) => this.#workplace.breakpoints.at(stage, this.#identity.migration);
    await hold('recorded');
    this.#disks?.close();
    this.#machine.dispatch(await letRun(this.#vm, runState, () => hold('running'), this.#log));
  }

  async #settleIn(): Promise<void> {
    const { host } = this.#workplace;
    clearTimeout(this.#timer);
    // First of all: until the source hears it, the blackout is not over for its books.
    this.#session?.running();
    const vm = this.#vm;
    if (!vm) return;
    await announce(vm, this.#log);
    await this.#cpu.sample();
    // The VM runs here, and an agent that starts again must not take it for one that never came.
    await insist(
      () => host.vms.adoptIncoming(vm),
      (error) => this.#log.error({ err: error }, 'the VM runs here, and its definition cannot be saved yet'),
    );
    if (this.#session) this.#peerKnows = await closeSession(this.#session, this.#log);
    await removeDirectory(host, this.#identity.migration);
  }

  async #discard(): Promise<void> {
    const { host } = this.#workplace;
    this.#stopListening?.();
    this.#disks?.close();
    if (this.#vm) await host.vms.discard(this.#vm);
  }

  #changed(state: DestinationState): void {
    if (state.at === 'receiving' && state.grant && this.report.value.phase !== 'granted') {
      this.#within(loadMs, { code: 'hypervisor', message: `QEMU did not load the VM within ${loadMs / 1000} s` });
    }
    if (state.at !== 'returning') this.#settlement.stop();
    const phase = destinationPhase(state);
    if (phase && state.at !== 'ended') this.report.update({ phase });
  }

  /** Everything is as it will be. */
  async #finish(): Promise<void> {
    const { state } = this.#machine;
    if (state.at !== 'ended') return;
    this.#stopListening?.();
    this.#disks?.close();
    if (state.outcome === 'lost') {
      await this.#vm?.letGo();
      await this.#session?.drop();
      await removeDirectory(this.#workplace.host, this.#identity.migration);
    }
    const phase = destinationPhase(state) ?? 'failed';
    const failure = state.failure && withAdvice(state.failure);
    this.#log.info({ phase, failure }, 'migration ended');
    const result = this.#session && resultOf(this.#session, this.#cpu);
    this.report.update({ phase, ...(result && { result }), ...(failure && { failure }) });
    // Whoever decided for the source is answered when nothing of the copy is left.
    this.#resolution.done();
  }

  #record(step: DestinationStep, more: Pick<DestinationRecord, 'runState' | 'outcome' | 'resolved' | 'postcopy' | 'heard'> = {}): void {
    const { migration, attempt, expiresAt, peer } = this.#identity;
    const record: DestinationRecord = { role: 'destination', step, migration, attempt, expiresAt, peer, vm: this.vmName, ...more };
    this.#workplace.host.journal.append(record);
  }

  #within(ms: number, failure: Failure): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#machine.dispatch({ type: 'cancel', failure }), ms);
  }
}
