/** An attempt at its source: drives QEMU and the channels as handover/source.ts decides. */
import {
  type AttemptReport,
  type Keep,
  type LimitsChange,
  type MigrationSpec,
  SealiftError,
  type SettleAnswer,
  type SettleRequest,
  type Verdict,
} from '@sealift/contract';
import { clearMirrors, continueFromPreSwitchover, type QmpEvent, queryMigration } from '@sealift/hypervisor';
import { parseAddress, type Session } from '@sealift/transport';
import type { Logger } from 'pino';
import { Machine } from '../handover/machine.ts';
import type { RunState, SourceRecord, SourceStep } from '../handover/records.ts';
import { type SourceEffect, type SourceEvent, type SourceState, sourceStart, sourceStep } from '../handover/source.ts';
import { Settlement } from '../settlement/settlement.ts';
import type { Vm } from '../vms/vm.ts';
import { withAdvice } from './advice.ts';
import { Blackout } from './blackout.ts';
import { checkDeadline, noLimitsLeft } from './copy-limits.ts';
import { Copying } from './copying.ts';
import { Deadline } from './deadline.ts';
import { GuestWatch } from './guest-watch.ts';
import { refusedAtSource } from './journal-refused.ts';
import { sourcePhase } from './phases.ts';
import { Report } from './report.ts';
import { Resolution, sourceHasDecided, sourceVerdict, undecidable } from './resolution.ts';
import { sourceResult } from './result.ts';
import { insistOnResuming } from './resume.ts';
import {
  type AttemptIdentity,
  asked,
  cancelled,
  closeSession,
  directoryOf,
  failureOf,
  QemuCpu,
  removeDirectory,
  type Side,
  tooLateToCancel,
  type Workplace,
} from './side.ts';
import { toAttempt } from './spec.ts';

const progressMs = 250;
/** A destination has decided by then: its own time for loading is shorter. */
const lastWordMs = 90_000;

export class Outgoing implements Side {
  readonly role = 'source';
  readonly vmName: string;
  readonly report: Report;
  readonly #workplace: Workplace;
  readonly #identity: AttemptIdentity;
  readonly #vm: Vm | undefined;
  readonly #names: { readonly vm: string; readonly host: string; readonly peer: string };
  #runState: RunState;
  readonly #log: Logger;
  readonly #machine: Machine<SourceState, SourceEvent, SourceEffect>;
  readonly #cpu: QemuCpu;
  readonly #settlement: Settlement;
  readonly #resolution: Resolution;
  readonly #deadline = new Deadline((failure) => this.#machine.dispatch({ type: 'cancel', failure }));
  /** Disks that only this host has go with the VM: they are removed here when it has gone. */
  #ownDisks: 'keep' | 'remove';
  #session: Session | undefined;
  #copying: Copying | undefined;
  #guest: GuestWatch | undefined;
  #ticker: NodeJS.Timeout | undefined;
  #stopListening: (() => void) | undefined;
  readonly #blackout = new Blackout();
  /** The destination is known to know how it ended. */
  #peerKnows = false;

  /** @param state where the machine is: {@link sourceStart}, or what the journal says after a restart */
  constructor(
    workplace: Workplace,
    identity: AttemptIdentity,
    vm: { readonly name: string; readonly vm: Vm | undefined; readonly runState: RunState; readonly ownDisks: 'keep' | 'remove' },
    state: SourceState = sourceStart,
  ) {
    this.#workplace = workplace;
    this.#identity = identity;
    this.vmName = vm.name;
    this.#vm = vm.vm;
    this.#runState = vm.runState;
    this.#ownDisks = vm.ownDisks;
    this.#log = workplace.host.log.child({ migration: identity.migration, vm: vm.name, role: 'source' });
    this.#cpu = new QemuCpu(vm.vm?.pid);
    this.#names = { vm: vm.name, host: workplace.host.identity.name, peer: identity.peer.name };
    const { migration, attempt } = identity;
    this.#settlement = new Settlement(workplace.host, { migration, attempt, vm: vm.name }, identity.peer, this.#log);
    this.#resolution = new Resolution();
    this.report = new Report({ migration, attempt, role: 'source', vm: vm.name, phase: sourcePhase(state) ?? 'preparing' });
    this.#machine = new Machine<SourceState, SourceEvent, SourceEffect>({
      state,
      step: sourceStep,
      perform: (effect) => this.#perform(effect),
      changed: (now) => this.#changed(now),
      journalFailed: (failure) => ({ type: 'journal-failed', failure: refusedAtSource(failure, this.#machine.state.at, this.#names) }),
      broken: (error) => {
        this.#log.error({ err: error }, 'a step of the migration failed');
        this.#machine.dispatch({ type: 'failed', failure: failureOf(error, 'hypervisor') });
      },
    });
  }

  /**
   * Accepts and begins. The journal has it when this returns, and the VM is marked as moving.
   * @param key the spec's key: taken, which wipes it
   */
  start(spec: MigrationSpec, key: Buffer, endpoints: readonly string[]): void {
    this.#vm?.setMoving('moving-out', spec.migration);
    try {
      const addresses = endpoints.map(parseAddress);
      this.#record('accepted');
      this.#session = this.#workplace.transport.connect(toAttempt(spec), key, addresses, {
        failed: ({ code, message }) => this.#machine.dispatch({ type: 'failed', failure: { code, message } }),
        control: (message) => {
          if (message.type === 'grant') return; // only a source grants
          if (message.type === 'running') this.#blackout.ran(message.at);
          this.#machine.dispatch({ type: message.type });
        },
      });
    } catch (error) {
      key.fill(0);
      this.#vm?.setMoving(undefined);
      throw error;
    }
    this.#copying = new Copying({
      spec,
      vm: this.#vm?.definition,
      names: this.#names,
      monitor: this.#monitor(),
      session: this.#session,
      directory: directoryOf(this.#workplace.host, spec.migration),
      log: this.#log,
      show: (progress) => this.report.update({ progress }),
      failed: (failure) => this.#machine.dispatch({ type: 'failed', failure }),
    });
    this.#session.confirmed.then(
      () => this.#mirror(),
      () => undefined,
    );
    void this.#copying
      .sent()
      .then((sent) => this.#machine.dispatch({ type: 'local-ended', ...sent }))
      .catch(() => undefined);
    void this.#vm?.exited.then(() => this.#machine.dispatch({ type: 'vm-gone' }));
    this.#deadline.endBy(spec.limits.deadlineMs);
    this.report.update({ phase: 'connecting' });
  }

  /** After a restart: does first what the journal says is to be done. */
  resume(effects: readonly SourceEffect[]): Promise<void> {
    if (this.#machine.state.at !== 'ended') this.#vm?.setMoving('moving-out', this.#identity.migration);
    return this.#machine.begin(effects);
  }

  async cancel(): Promise<void> {
    let { state } = this.#machine;
    if (sourceVerdict(state) === undefined) state = await this.#machine.ask({ type: 'cancel', failure: cancelled });
    if (sourceVerdict(state) === 'granted') throw tooLateToCancel(this.vmName, this.#identity);
  }

  async adjust(change: LimitsChange): Promise<void> {
    const { at } = this.#machine.state;
    if (!this.#copying || (at !== 'opening' && at !== 'copying' && at !== 'switching')) {
      throw noLimitsLeft(this.vmName, this.#workplace.host.identity.name, this.report.value);
    }
    const { deadlineMs } = change;
    if (deadlineMs !== undefined) {
      checkDeadline(this.vmName, this.#identity.migration, deadlineMs, this.#deadline.elapsedMs);
      this.#deadline.endBy(deadlineMs);
    }
    await this.#copying.change(change);
  }

  settle({ challenge, statement }: SettleRequest): SettleAnswer {
    if (statement) this.#hear(this.#settlement.believe(statement).verdict);
    const verdict = sourceVerdict(this.#machine.state);
    return verdict ? { statement: this.#settlement.say(verdict, challenge) } : {};
  }

  async resolve(keep: Keep): Promise<AttemptReport> {
    const { state } = this.#machine;
    const type = keep === 'source' ? 'keep' : 'drop';
    const cancels = type === 'keep' && ['opening', 'copying', 'switching'].includes(state.at);
    if (state.at === 'in-doubt' && (type === 'drop' || !state.ran)) await this.#resolution.wait(() => this.#machine.dispatch({ type }));
    else if (cancels) this.#machine.dispatch({ type: 'cancel', failure: cancelled });
    else if (!sourceHasDecided(state, keep)) throw undecidable(this.vmName, state.at, keep, this.#identity.peer.name);
    return this.report.value;
  }

  async detach(): Promise<void> {
    this.#settlement.stop();
    this.#stopTimers();
    this.#copying?.disks?.close();
    await this.#session?.drop();
  }

  async #perform(effect: SourceEffect): Promise<void> {
    const { host } = this.#workplace;
    switch (effect.type) {
      case 'journal':
        await this.#journal(effect);
        return;
      case 'migrate':
        await this.#migrate();
        return;
      case 'continue':
        await continueFromPreSwitchover(this.#monitor());
        return;
      case 'grant':
        this.#session?.grant({ runState: this.#runState, totals: effect.totals, diskWrites: effect.diskWrites ?? [] });
        return;
      case 'grant-postcopy':
        if (this.#copying?.postcopy) this.#copying.postcopy.granted = true;
        this.#session?.grant({ runState: this.#runState, postcopy: true, totals: [{ records: 0, bytes: 0 }], diskWrites: [] });
        return;
      case 'say-aborted':
        this.#session?.sayAborted();
        return;
      case 'drop-channels':
        await this.#session?.abort();
        return;
      case 'resume':
        await this.#resumeVm();
        return;
      case 'release':
        await this.#workplace.breakpoints.at('releasing', this.#identity.migration);
        await this.#cpu.sample();
        if (this.#vm) await host.vms.release(this.#vm, this.#ownDisks);
        this.#machine.dispatch({ type: 'released' });
        return;
      case 'close-channels':
        if (this.#session) this.#peerKnows = await closeSession(this.#session, this.#log);
        return;
      case 'hold':
        this.#vm?.setMoving('in-doubt', this.#identity.migration);
        this.#settlement.start((verdict) => this.#hear(verdict));
        // Where it was another channel that failed, RUNNING or ABORTED still comes on channel 0, if it comes at all.
        // After a grant by post-copy QEMU's sockets have to stand: it could not run the VM again without them.
        if (!this.#copying?.postcopy?.granted) this.#deadline.after(lastWordMs, () => void this.#session?.drop());
        return;
    }
  }

  #hear(verdict: Verdict): void {
    if (verdict !== 'granted') this.#machine.dispatch({ type: verdict });
  }

  async #journal({ step, outcome, resolved, postcopy }: Extract<SourceEffect, { type: 'journal' }>): Promise<void> {
    try {
      // Whoever decides without the other host may be wrong about it: nothing is removed that only this host has.
      if (resolved) this.#ownDisks = 'keep';
      if (step === 'granted' && this.#guest) this.#runState = await this.#guest.runState();
      const more = { ...(outcome && { outcome }), ...(resolved && { resolved }), ...(postcopy && { postcopy }) };
      this.#record(step, { ...more, ...(this.#peerKnows && { heard: true }) });
      if (step === 'granted') this.#blackout.granted();
    } catch (error) {
      this.#resolution.failed(error);
      // The record before these leads to the same.
      if (step !== 'abandoned' && step !== 'ended') throw error;
      this.#log.error({ err: error, step }, 'the journal does not take records');
    }
    if (resolved) {
      this.#log.warn({ step }, 'an administrator has settled the migration');
      this.report.update({ resolved: step === 'resuming' ? 'source' : 'destination' });
      this.#resolution.done();
    }
    if (step === 'ended') await this.#finish();
  }

  /** Every channel is confirmed: disks first, however long that takes. */
  async #mirror(): Promise<void> {
    try {
      await this.#cpu.sample();
      if (this.#machine.state.at !== 'opening') return; // it was cancelled
      this.report.update({ phase: 'copying' });
      this.#tickOn();
      await this.#copying?.begin();
      this.#machine.dispatch({ type: 'confirmed' });
    } catch (error) {
      this.#machine.dispatch({ type: 'failed', failure: failureOf(error, 'hypervisor') });
    }
  }

  async #migrate(): Promise<void> {
    const monitor = this.#monitor();
    await this.#copying?.openMemory();
    this.#guest = new GuestWatch(monitor, this.#runState, this.#names, (failure) => this.#machine.dispatch({ type: 'failed', failure }));
    this.#stopListening = monitor.onEvent((event) => this.#heard(event));
    if (!(await this.#guest.begin())) return;
    await this.#copying?.sendMemory();
  }

  #heard(event: QmpEvent): void {
    this.#guest?.heard(event);
    if (event.name === 'MIGRATION_PASS') void this.#tick();
    if (event.name !== 'MIGRATION') return;
    const { status } = event.data;
    if (status === 'pre-switchover') void this.#preSwitchover();
    else if (status === 'completed' || status === 'postcopy-active') this.#machine.dispatch({ type: status });
    else if (status === 'failed' || status === 'postcopy-paused') void this.#qemuFailed();
  }

  async #preSwitchover(): Promise<void> {
    await this.#workplace.breakpoints.at('paused', this.#identity.migration);
    try {
      await this.#copying?.disks?.finish();
      this.#machine.dispatch({ type: 'pre-switchover' });
    } catch (error) {
      this.#machine.dispatch({ type: 'failed', failure: failureOf(error, 'hypervisor') });
    }
  }

  async #qemuFailed(): Promise<void> {
    const said = await asked(() => queryMigration(this.#monitor()));
    const message = `QEMU's migration failed${said?.error ? `: ${said.error}` : ''}; the VM runs on at the source`;
    this.#machine.dispatch({ type: 'failed', failure: { code: 'hypervisor', message } });
  }

  async #resumeVm(): Promise<void> {
    const vm = this.#vm;
    this.#stopTimers();
    if (vm?.pid === undefined) {
      this.#machine.dispatch({ type: 'vm-gone' });
      return;
    }
    const before = (await this.#guest?.before()) ?? this.#runState;
    const freeDisks = () => this.#copying?.disks?.stop() ?? clearMirrors(vm.monitor);
    this.#machine.dispatch({ type: await insistOnResuming(vm, before, this.#guest?.stopped !== undefined, freeDisks, this.#log) });
  }

  #changed(state: SourceState): void {
    // The deadline is the grant's: the VM stands still meanwhile, and whoever holds the last bytes up must not keep it so.
    if (state.at === 'switching') clearInterval(this.#ticker);
    else if (state.at !== 'opening' && state.at !== 'copying') this.#stopTimers();
    if (state.at === 'feeding') this.#tickOn();
    if (state.at !== 'in-doubt') this.#settlement.stop();
    if (state.at === 'ended') return; // told when everything is done, see #finish
    const phase = sourcePhase(state);
    if (!phase) return;
    this.#log.info({ phase }, 'migration');
    const progress = this.#copying?.meter.sample(phase);
    this.report.update({ phase, ...(progress && { progress }) });
  }

  #tickOn(): void {
    this.#ticker = setInterval(() => void this.#tick(), progressMs);
  }

  async #tick(): Promise<void> {
    const failure = await this.#copying?.look(() => {
      const { at } = this.#machine.state;
      return at === 'feeding' ? 'releasing' : at === 'opening' || at === 'copying' ? 'copying' : undefined;
    });
    if (failure) this.#machine.dispatch({ type: 'cancel', failure });
  }

  /** Everything is as it will be: nothing is left of the attempt but its result. */
  async #finish(): Promise<void> {
    const { state } = this.#machine;
    if (state.at !== 'ended') return;
    const { host } = this.#workplace;
    this.#stopTimers();
    this.#copying?.disks?.close();
    await this.#session?.drop();
    await removeDirectory(host, this.#identity.migration);
    if (state.outcome !== 'released') await this.#vm?.letGo();
    if (this.#vm && this.#guest?.off && state.outcome === 'kept') await host.vms.guestPoweredOff(this.#vm);
    const phase = sourcePhase(state) ?? 'failed';
    const failure = state.failure && withAdvice(state.failure);
    this.#log.info({ phase, failure }, 'migration ended');
    const result =
      this.#session && sourceResult(this.#session, this.#cpu, this.#deadline.elapsedMs, this.#blackout.lasted(this.#guest?.stopped));
    const progress = this.#copying?.meter.sample(phase);
    this.report.update({ phase, ...(progress && { progress }), ...(result && { result }), ...(failure && { failure }) });
  }

  #record(step: SourceStep, more: Pick<SourceRecord, 'outcome' | 'resolved' | 'postcopy' | 'heard'> = {}): void {
    const { migration, attempt, expiresAt, peer } = this.#identity;
    const about = { migration, attempt, expiresAt, peer, vm: this.vmName, runState: this.#runState, ownDisks: this.#ownDisks };
    this.#workplace.host.journal.append({ role: 'source', step, ...about, ...more } satisfies SourceRecord);
  }

  #monitor() {
    if (!this.#vm) throw new SealiftError('internal', `${this.vmName} is not here`);
    return this.#vm.monitor;
  }

  #stopTimers(): void {
    this.#deadline.stop();
    clearInterval(this.#ticker);
    if (this.#machine.state.at === 'ended') this.#stopListening?.();
  }
}
