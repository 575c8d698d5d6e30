/**
 * A simulated host behind the agent's API: VMs that are only names and states, migrations that take their time to another host of the same site
 * and fail now and then. What it leaves out, as no measurement of the manager needs it: consoles, pools, what is inside the wrapped key, and settlement
 * by signed statements (no attempt is ever in doubt here) with limits that change. In all else it complies with what every agent must do.
 */
import { generateKeyPairSync } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  type AgentVm,
  type AttemptReport,
  type IncomingRequest,
  type OutgoingRequest,
  SealiftError,
  type VmDefinition,
  type VmState,
} from '@sealift/contract';
import { SimAttempt } from './attempt.ts';
import { cpus, reportOf } from './report.ts';

/** Of what happened, and when, ms since the epoch. */
export type Moment =
  | { readonly migration: string; readonly phase: string; readonly at: number }
  | { readonly vm: string; readonly state: VmState; readonly at: number };

/** What all hosts of a site share. */
export interface SimSite {
  readonly hosts: Map<string, SimHost>;
  /** Source attempts that are copying. */
  readonly copying: Set<SimAttempt>;
  readonly copyMs: number;
  /** Of migrations, 0 to 1. */
  readonly failing: number;
  readonly random: () => number;
  readonly tell: (moment: Moment) => void;
}

interface SimVm {
  definition: VmDefinition;
  definitionJson: string;
  state: VmState;
  migration?: string;
  cpus: number;
}

/** As a real agent looks at its VMs, so often are there new figures. */
const statsMs = 5_000;
const MiB = 1024 * 1024;
const cancellable: readonly string[] = ['preparing', 'connecting', 'copying', 'switching-over'];

export class SimHost {
  readonly name: string;
  readonly keyHash: string;
  readonly #site: SimSite;
  readonly #vms = new Map<string, SimVm>();
  readonly #attempts = new Map<string, SimAttempt>();
  /** Grows with each change of what the host has, its figures aside. */
  revision = 1;
  #waiting: (() => void)[] = [];
  #report: Buffer | undefined;
  #reportedAt = 0;
  #reported = 0;

  constructor(name: string, keyHash: string, vms: readonly VmDefinition[], site: SimSite) {
    this.name = name;
    this.keyHash = keyHash;
    this.#site = site;
    for (const definition of vms) this.#put(definition, 'running');
    site.hosts.set(name, this);
  }

  /** The report as JSON; the same bytes until something has changed or its figures are old. */
  report(): Buffer {
    const now = performance.now();
    if (this.#report && this.#reported === this.revision && now - this.#reportedAt < statsMs) return this.#report;
    const vms = [...this.#vms.values()];
    const on = vms.filter(isOn);
    const load = { cpu: Math.min(1, on.reduce((sum, vm) => sum + vm.cpus, 0) / cpus), linkBytesPerSecond: 0 };
    const reserved = on.reduce((sum, { definition }) => sum + definition.memoryMiB, 0);
    this.#report = Buffer.from(
      reportOf(
        this,
        reserved,
        load,
        vms.map((vm) => this.#json(vm)),
      ),
    );
    this.#reportedAt = now;
    this.#reported = this.revision;
    return this.#report;
  }

  /** Resolves at the next change, or when the signal is aborted. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  vm(name: string): AgentVm {
    return JSON.parse(this.#json(this.#find(name))) as AgentVm; // what is written there is one
  }

  define(definition: VmDefinition): AgentVm {
    if (this.#vms.has(definition.name)) throw new SealiftError('already_exists', `${this.name} has a VM ${definition.name} already`);
    this.#put(definition, 'stopped');
    this.#change();
    return this.vm(definition.name);
  }

  /** Another definition: the encryption mode at any time, the rest while it is off. @throws SealiftError */
  redefine(name: string, definition: VmDefinition): AgentVm {
    const vm = this.#still(name);
    if (definition.name !== name) throw new SealiftError('invalid_request', `${name} keeps its name`);
    const but = ({ encryption: _, ...rest }: VmDefinition) => rest;
    if (isOn(vm) && !isDeepStrictEqual(but(vm.definition), but(definition)))
      throw new SealiftError('wrong_state', `${name} is ${vm.state}`);
    Object.assign(vm, { definition, definitionJson: JSON.stringify(definition) });
    this.#change();
    return this.vm(name);
  }

  /** @throws SealiftError not_found, migrating, wrong_state where it is in none of these states */
  order(name: string, from: readonly VmState[], to?: VmState): AgentVm {
    const vm = this.#still(name);
    if (!from.includes(vm.state)) throw new SealiftError('wrong_state', `${name} is ${vm.state}`);
    if (to !== undefined && to !== vm.state) {
      vm.state = to;
      this.#change();
    }
    return this.vm(name);
  }

  remove(name: string): void {
    this.order(name, ['stopped', 'crashed']);
    this.#vms.delete(name);
    this.#change();
  }

  /** By itself: as a guest that shuts down, and one that was started beside the manager. */
  happens(name: string): void {
    const vm = this.#vms.get(name);
    if (!vm || vm.migration !== undefined) return;
    vm.state = vm.state === 'running' ? 'stopped' : 'running';
    this.#site.tell({ vm: name, state: vm.state, at: now() });
    this.#change();
  }

  attempt(migration: string): SimAttempt {
    const attempt = this.#attempts.get(migration);
    if (!attempt) throw new SealiftError('not_found', `${this.name} knows no migration ${migration}`);
    return attempt;
  }

  incoming({ spec, vm }: IncomingRequest): { endpoints: string[] } {
    this.#requireSelf(spec.destination);
    if (this.#vms.has(vm.name)) throw new SealiftError('already_exists', `${this.name} has a VM ${vm.name} already`);
    requireSealed(spec, vm);
    this.#begin(spec, vm.name, 'destination', 'running');
    const { migration } = spec;
    Object.assign(this.#put(vm, 'moving-in'), { migration });
    this.#change();
    return { endpoints: ['192.0.2.1:8651'] };
  }

  outgoing({ spec, vm: name }: OutgoingRequest): AttemptReport {
    this.#requireSelf(spec.source);
    const vm = this.#find(name);
    const { state } = vm;
    if (state !== 'running' && state !== 'paused') throw new SealiftError('wrong_state', `${name} is ${state}`);
    requireSealed(spec, vm.definition);
    const attempt = this.#begin(spec, name, 'source', state);
    Object.assign(vm, { state: 'moving-out', migration: spec.migration });
    this.#change();
    void this.#move(attempt, this.#site.hosts.get(spec.destination.name));
    return attempt.report;
  }

  cancel(migration: string): AttemptReport {
    const attempt = this.attempt(migration);
    const { phase } = attempt.report;
    if (!cancellable.includes(phase)) throw new SealiftError('wrong_state', `migration ${migration} is ${phase}`);
    this.#fails(attempt, 'cancelled', 'cancelled');
    if (attempt.report.role === 'source') {
      for (const host of this.#site.hosts.values()) host.#peerFails(migration, 'cancelled', 'cancelled');
    }
    return attempt.report;
  }

  async #move(attempt: SimAttempt, peer: SimHost | undefined): Promise<void> {
    const { random, failing, copying } = this.#site;
    const { migration, vm } = attempt.report;
    const both = (phase: 'connecting' | 'copying' | 'switching-over' | 'granted') => {
      this.#enter(attempt, phase);
      const there = peer === undefined ? undefined : peer.#attempts.get(migration);
      if (there && !there.ended) there.enter(phase);
    };
    await wait(50);
    if (attempt.ended) return;
    both('connecting');
    await wait(100);
    if (attempt.ended) return;
    both('copying');
    copying.add(attempt);
    const fails = random() < failing;
    await wait(attempt.copyMs * (fails ? random() : 1));
    copying.delete(attempt);
    if (attempt.ended) return;
    if (fails || peer === undefined || !peer.#attempts.has(migration)) {
      this.#fails(attempt, 'failed', 'stalled');
      if (peer) peer.#peerFails(migration, 'failed', 'stalled');
      return;
    }
    both('switching-over');
    await wait(50);
    if (attempt.ended) return;
    both('granted');
    await wait(20);
    peer.#arrived(migration, attempt.runState);
    this.#enter(attempt, 'releasing');
    await wait(30);
    this.#vms.delete(vm);
    this.#change();
    this.#enter(attempt, 'completed');
    this.#forgetLater(migration);
  }

  #arrived(migration: string, state: VmState): void {
    const attempt = this.attempt(migration);
    this.#settle(attempt.report.vm, state);
    attempt.enter('completed');
    this.#forgetLater(migration);
  }

  #peerFails(migration: string, phase: 'cancelled' | 'failed', code: string): void {
    const attempt = this.#attempts.get(migration);
    if (attempt && !attempt.ended) this.#fails(attempt, phase, code);
  }

  #fails(attempt: SimAttempt, phase: 'cancelled' | 'failed', code: string): void {
    const { vm, role, migration } = attempt.report;
    if (role === 'destination') {
      this.#vms.delete(vm);
      this.#change();
    } else this.#settle(vm, attempt.runState);
    this.#enter(attempt, phase, { code, message: `${code}; VM ${vm} runs on at the source` });
    this.#forgetLater(migration);
  }

  #enter(attempt: SimAttempt, phase: AttemptReport['phase'], failure?: { code: string; message: string }): void {
    attempt.enter(phase, failure);
    const { role, migration } = attempt.report;
    if (role === 'source') this.#site.tell({ migration, phase, at: now() });
  }

  /** A real agent keeps what ended in its journal; here memory is to stay as it is. */
  #forgetLater(migration: string): void {
    setTimeout(() => this.#attempts.delete(migration), 60_000).unref();
  }

  #begin(spec: IncomingRequest['spec'], vm: string, role: 'source' | 'destination', runState: 'running' | 'paused'): SimAttempt {
    const { migration, attempt: number } = spec;
    const copyMs = this.#site.copyMs * (0.5 + this.#site.random());
    const attempt = new SimAttempt({ migration, attempt: number, role, vm, phase: 'preparing' }, runState, copyMs);
    this.#attempts.set(migration, attempt);
    return attempt;
  }

  #requireSelf({ name, keyHash }: { name: string; keyHash: string }): void {
    if (name !== this.name || keyHash !== this.keyHash) throw new SealiftError('invalid_request', `${this.name} is not the spec's`);
  }

  #put(definition: VmDefinition, state: VmState): SimVm {
    const vm = { definition, definitionJson: JSON.stringify(definition), state, cpus: this.#site.random() * 1.5 };
    this.#vms.set(definition.name, vm);
    return vm;
  }

  #find(name: string): SimVm {
    const vm = this.#vms.get(name);
    if (!vm) throw new SealiftError('not_found', `${this.name} has no VM ${name}`);
    return vm;
  }

  /** With no migration's hand on it. */
  #still(name: string): SimVm {
    const vm = this.#find(name);
    if (vm.migration !== undefined) throw new SealiftError('migrating', `${name} is ${vm.state}`, { details: { migration: vm.migration } });
    return vm;
  }

  #settle(name: string, state: VmState): void {
    const vm = this.#find(name);
    vm.state = state;
    delete vm.migration;
    this.#change();
  }

  #change(): void {
    this.revision++;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #json(vm: SimVm): string {
    const { definition, definitionJson, state, migration, cpus: used } = vm;
    const more = {
      state,
      log: `/var/lib/sealift/agent/vms/${definition.name}/serial.log`,
      ...(migration !== undefined && { migration }),
      ...(isOn(vm) && {
        pid: 4242,
        stats: {
          cpus: used * (0.9 + 0.2 * this.#site.random()),
          residentBytes: definition.memoryMiB * MiB,
          diskBytesPerSecond: { read: 0, written: 65_536 },
          networkBytesPerSecond: { received: 1500, sent: 1500 },
        },
      }),
    };
    return `{"definition":${definitionJson},${JSON.stringify(more).slice(1)}`;
  }
}

/** X25519, made anew for each attempt as a real agent does; what is wrapped to it is not looked at. */
export function offerKey(): { publicKey: string } {
  const { publicKey } = generateKeyPairSync('x25519');
  return { publicKey: publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64url') };
}

const isOn = ({ state }: SimVm): boolean => state !== 'stopped' && state !== 'crashed';

function requireSealed({ suite }: IncomingRequest['spec'], { name, encryption }: VmDefinition): void {
  if (suite === 'none' && encryption === 'required') throw new SealiftError('encryption_required', `${name} is only moved sealed`);
}

const now = (): number => performance.timeOrigin + performance.now();
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
