/**
 * A pretended VM host that keeps an agent's promises without QEMU: VMs that can be started and stopped, attempts that take their
 * time between two hosts of the same {@link Fabric}. A test can hold a migration before any phase and make any call fail.
 */
import { createHash } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import {
  type AgentVm,
  type agentApi,
  type HostReport,
  type IncomingRequest,
  type MigrationPhase,
  type OutgoingRequest,
  SealiftError,
  type VmDefinition,
  type VmState,
} from '@sealift/contract';
import type { Handlers } from '../api/serve.ts';
import { contextOf } from '../migrations/spec/context.ts';
import { FakeAttempt } from './fake-attempt.ts';
import { FakePools } from './fake-pools.ts';
import { adjustFake, resolveFake, settleFake, verdictOf } from './fake-settlement.ts';
import { checkStatement, makeStatement, type Signer } from './statements.ts';
import { type OfferedKey, offerKey, openKey } from './unwrap.ts';

/** Which host answers at which migration endpoint. */
export type Fabric = Map<string, FakeHost>;

const MiB = 1024 * 1024;

/** What a test may change in what the host says of itself. */
export type Traits = Partial<
  Pick<
    HostReport,
    | 'canSeal'
    | 'cannotSealBecause'
    | 'bridges'
    | 'qemu'
    | 'protocolVersion'
    | 'name'
    | 'aesInstructions'
    | 'cpu'
    | 'cpus'
    | 'load'
    | 'linkMbps'
    | 'pools'
  >
> & { totalMiB?: number };

/** A VM as a test may put it here; what a report says beside that is as the test has it too. */
interface FakeVm extends Pick<AgentVm, 'stats' | 'adopted' | 'immovable'> {
  definition: VmDefinition;
  state: VmState;
  migration?: string;
}

export class FakeHost {
  readonly name: string;
  readonly traits: Traits = {};
  readonly vms = new Map<string, FakeVm>();
  readonly attempts = new Map<string, FakeAttempt>();
  readonly pools = new FakePools();
  /** Each call of the API that was made, in order. */
  readonly calls: (keyof typeof agentApi)[] = [];
  /** Calls that fail before they do anything. */
  readonly failures = new Map<keyof typeof agentApi, SealiftError>();
  /** As the source, stop before this phase until it is cleared by {@link release}. */
  #holdBefore: MigrationPhase | undefined;
  #released = Promise.withResolvers<void>();
  readonly #keyHash: string;
  readonly #signer: Signer;
  readonly #fabric: Fabric;
  readonly #endpoint: string;
  readonly #offered = new Map<string, OfferedKey>();

  constructor(name: string, signer: Signer, fabric: Fabric) {
    this.name = name;
    this.#keyHash = signer.keyHash;
    this.#signer = signer;
    this.#fabric = fabric;
    this.#endpoint = `192.0.2.${fabric.size + 1}:8651`; // RFC 5737: documentation, never routed
    fabric.set(this.#endpoint, this);
  }

  hold(phase: MigrationPhase): void {
    this.#holdBefore = phase;
  }

  release(): void {
    this.#holdBefore = undefined;
    this.#released.resolve();
    this.#released = Promise.withResolvers();
  }

  report(): HostReport {
    const { totalMiB = 4096, ...traits } = this.traits;
    const reserved = [...this.vms.values()]
      .filter((vm) => vm.state !== 'stopped')
      .reduce((sum, vm) => sum + vm.definition.memoryMiB * MiB, 0);
    return {
      name: this.name,
      version: '0.1.0',
      protocolVersion: 1,
      keyHash: this.#keyHash,
      qemu: { version: '7.2.22 (Debian)', machines: ['pc-q35-7.2', 'pc-q35-7.1'], accel: 'tcg', capabilities: ['multifd'] },
      cpus: 2,
      memory: { total: totalMiB * MiB, available: totalMiB * MiB - reserved, reserved },
      bridges: ['br0'],
      migrationEndpoints: [this.#endpoint],
      canSeal: true,
      aesInstructions: true,
      cpu: { model: 'a pretended CPU', usable: ['qemu64', 'max'], missing: { host: ['kvm'] } },
      pools: this.pools.all,
      vms: [...this.vms.keys()].map((vm) => this.#agentVm(vm)),
      ...traits,
    };
  }

  handlers(): Handlers<typeof agentApi> {
    const all: Handlers<typeof agentApi> = {
      host: async () => this.report(),
      defineVm: async ({ body }) => {
        if (this.vms.has(body.name)) throw new SealiftError('already_exists', `this host has a VM ${body.name} already`);
        this.pools.change(body, []);
        this.vms.set(body.name, { definition: body, state: 'stopped' });
        return this.#agentVm(body.name);
      },
      getVm: async ({ params }) => this.#agentVm(params.vm),
      startVm: async ({ params }) => this.#change(params.vm, ['stopped', 'crashed'], 'running'),
      stopVm: async ({ params, body }) =>
        this.#change(params.vm, ['running', 'paused', ...(body.force ? (['stopped'] as const) : [])], 'stopped'),
      changeVm: async ({ params, body }) => this.#redefine(params.vm, body),
      resetVm: async ({ params }) => {
        this.#requireOn(params.vm);
        return this.#agentVm(params.vm);
      },
      suspendVm: async ({ params }) => {
        this.#requireOn(params.vm);
        return this.#change(params.vm, ['running', 'paused'], 'paused');
      },
      resumeVm: async ({ params }) => {
        this.#requireOn(params.vm);
        return this.#change(params.vm, ['running', 'paused'], 'running');
      },
      removeVm: async ({ params, query }) => {
        const { definition } = this.#change(params.vm, ['stopped', 'crashed'], 'stopped');
        const files = this.pools.filesOf(params.vm, definition.disks);
        this.vms.delete(params.vm);
        if (query?.keepDisks) return files.length > 0 ? { keptDisks: files } : {};
        this.pools.remove(files);
        return files.length > 0 ? { removedDisks: files } : {};
      },
      listImages: async () => this.pools.images(),
      importImage: async ({ body }) => this.pools.import(body),
      removeImage: async ({ params }) => {
        this.pools.removeImage(params.pool, params.image);
        return {};
      },
      consoleOfVm: async ({ params }) => {
        if (this.#ours(params.vm).state !== 'running')
          throw new SealiftError('wrong_state', `${params.vm} is not running: it has no console`);
        return new PassThrough(); // a guest that says back what it is told
      },

      offerKey: async ({ body }) => {
        const offered = offerKey();
        this.#offered.set(body.migration, offered);
        return { publicKey: offered.publicKey.toString('base64url') };
      },
      incoming: async ({ body }) => this.#incoming(body),
      outgoing: async ({ body }) => this.#outgoing(body),
      getAttempt: async ({ params }) => this.#attempt(params.migration).report,
      cancelAttempt: async ({ params }) => this.#cancel(params.migration).report,
      adjustAttempt: async ({ params, body }) => adjustFake(this.#attempt(params.migration), body),
      settleAttempt: async ({ params, body: { attempt: number, challenge, statement } }) => {
        const attempt = this.#attempt(params.migration, number);
        if (statement) {
          checkStatement(statement, attempt);
          settleFake(this, attempt, statement);
        }
        const verdict = verdictOf(attempt.report);
        return verdict ? { statement: makeStatement(attempt.report, verdict, challenge, this.name, this.#signer) } : {};
      },
      resolveAttempt: async ({ params, body }) => {
        const attempt = this.#attempt(params.migration, body.attempt);
        resolveFake(this, attempt, body.keep, () => this.#cancel(params.migration));
        return attempt.report;
      },
      watchAttempt: ({ params }, signal) => this.#watch(params.migration, signal),
    };
    return this.#recorded(all);
  }

  #recorded(all: Handlers<typeof agentApi>): Handlers<typeof agentApi> {
    const entries = Object.entries(all) as [keyof typeof agentApi, (...input: never[]) => unknown][]; // its own keys and values
    const recorded = entries.map(([name, handler]) => [
      name,
      (...input: never[]) => {
        this.calls.push(name);
        const failure = this.failures.get(name);
        if (failure) return Promise.reject(failure);
        return handler(...input);
      },
    ]);
    return Object.fromEntries(recorded) as Handlers<typeof agentApi>; // the same names, and functions of the same types
  }

  #vm(name: string) {
    const vm = this.vms.get(name);
    if (!vm) throw new SealiftError('not_found', `this host has no VM ${name}`);
    return vm;
  }

  /** One that is only looked at takes no order. */
  #ours(name: string) {
    const vm = this.#vm(name);
    if (vm.adopted) throw new SealiftError('wrong_state', `${name} is ${vm.state} and adopted: sealift only looks at it`);
    return vm;
  }

  #requireAllowed(suite: string, { name, encryption }: VmDefinition): void {
    if (suite === 'none' ? encryption !== 'required' : this.traits.canSeal !== false) return;
    throw new SealiftError('encryption_required', `${name} cannot move with suite ${suite} from or to ${this.name}`);
  }

  #agentVm(name: string): AgentVm {
    const { definition } = this.#vm(name);
    return { ...this.#vm(name), ...this.pools.useOf(definition), log: `/var/lib/sealift/agent/vms/${name}/serial.log` };
  }

  #change(name: string, from: VmState[], to: VmState): AgentVm {
    const vm = this.#ours(name);
    if (!from.includes(vm.state)) throw new SealiftError('wrong_state', `${name} is ${vm.state}`);
    vm.state = to;
    return this.#agentVm(name);
  }

  /** Runs or is paused, and no migration has its hand on it. */
  #requireOn(name: string): void {
    const { state, migration } = this.#ours(name);
    if (['moving-in', 'moving-out', 'in-doubt'].includes(state)) {
      throw new SealiftError('migrating', `${name} is ${state}`, migration === undefined ? {} : { details: { migration } });
    }
    if (state !== 'running' && state !== 'paused') throw new SealiftError('wrong_state', `${name} is ${state}`);
  }

  #redefine(name: string, definition: VmDefinition): AgentVm {
    const vm = this.#ours(name);
    if (definition.name !== name) throw new SealiftError('invalid_request', `a VM keeps its name: ${name}`);
    if (vm.state !== 'stopped' && vm.state !== 'crashed') {
      this.#requireOn(name);
      if (!isDeepStrictEqual({ ...definition, encryption: 'any' }, { ...vm.definition, encryption: 'any' })) {
        throw new SealiftError('wrong_state', `${name} is ${vm.state}: only its encryption mode can change now`);
      }
    }
    this.pools.change(definition, vm.definition.disks);
    vm.definition = definition;
    return this.#agentVm(name);
  }

  #attempt(migration: string, number?: number): FakeAttempt {
    const attempt = this.attempts.get(migration);
    if (!attempt || attempt.report.attempt !== (number ?? attempt.report.attempt))
      throw new SealiftError('not_found', `this host knows no migration ${migration}`);
    return attempt;
  }

  async *#watch(migration: string, signal: AbortSignal) {
    yield* this.#attempt(migration).watch(signal);
  }

  /** Unwraps the key, and keeps no more of it than shows whether both sides have the same. */
  #accept(request: IncomingRequest | OutgoingRequest, vm: string, role: 'source' | 'destination'): FakeAttempt {
    const { spec, key, peer } = request;
    const self = spec[role];
    if (self.name !== this.name || self.keyHash !== this.#keyHash)
      throw new SealiftError('invalid_request', `this host is not the spec's ${role}`);
    const offered = this.#offered.get(spec.migration);
    if (!offered) throw new SealiftError('invalid_request', 'no key was offered for this attempt');
    const context = contextOf(spec);
    const secret = createHash('sha256')
      .update(context)
      .update(openKey(key, offered, context))
      .digest('hex');
    const attempt = new FakeAttempt({ migration: spec.migration, attempt: spec.attempt, role, vm, phase: 'preparing' }, spec, peer, secret);
    this.attempts.set(spec.migration, attempt);
    return attempt;
  }

  #incoming(request: IncomingRequest): { endpoints: string[] } {
    const { spec, vm } = request;
    this.#requireAllowed(spec.suite, vm);
    if (this.vms.has(vm.name)) throw new SealiftError('already_exists', `this host has a VM ${vm.name} already`);
    this.#accept(request, vm.name, 'destination');
    this.pools.arrive(vm);
    this.vms.set(vm.name, { definition: vm, state: 'moving-in', migration: spec.migration });
    return { endpoints: [this.#endpoint] };
  }

  #outgoing(request: OutgoingRequest) {
    const { spec, vm: name, endpoints } = request;
    const vm = this.#ours(name);
    this.#requireAllowed(spec.suite, vm.definition);
    const { state } = vm;
    if (state !== 'running' && state !== 'paused') throw new SealiftError('wrong_state', `${name} is ${state}`);
    const attempt = this.#accept(request, name, 'source');
    attempt.runState = state;
    Object.assign(vm, { state: 'moving-out', migration: spec.migration });
    const peer = this.#fabric.get(endpoints[0] ?? '');
    void this.#move(attempt, peer, state);
    return attempt.report;
  }

  async #move(attempt: FakeAttempt, peer: FakeHost | undefined, state: VmState): Promise<void> {
    const { migration, vm } = attempt.report;
    const theirs = peer?.attempts.get(migration);
    if (theirs) theirs.runState = state;
    // Nobody answers there: the source tries until its deadline.
    if (!peer) return attempt.enter('connecting');
    const over = () => attempt.ended || attempt.report.phase === 'in-doubt';
    for (const phase of ['connecting', 'copying', 'switching-over', 'granted', 'releasing', 'completed'] as const) {
      await new Promise(setImmediate);
      while (this.#holdBefore === phase && !over())
        await Promise.race([this.#released.promise, new Promise((wake) => setTimeout(wake, 5))]);
      if (over()) return;
      const granted = phase === 'releasing' || phase === 'completed';
      if (!theirs || (theirs.ended && !granted) || theirs.secret !== attempt.secret) {
        attempt.enter('failed', { code: 'hello', message: `the destination did not confirm a channel; VM ${vm} runs on here` });
        this.settleVm(vm, state);
        return;
      }
      attempt.enter(phase);
      if (phase === 'releasing') {
        peer.settleVm(vm, state);
        theirs.enter('completed');
      } else if (phase === 'completed') this.#forget(vm, !attempt.spec.keepSourceDisks);
      else theirs.enter(phase);
    }
  }

  /**
   * The link dies after the grant: this host, the source, is in doubt.
   * @param there what has become of the VM at the destination
   */
  breakOff(migration: string, there: 'ran' | 'aborted' | 'returning' | 'lost' | 'receiving'): void {
    const { vm, phase } = this.#attempt(migration).report;
    if (phase !== 'granted') throw new Error(`it is ${phase}; hold it before releasing`);
    const peer = [...this.#fabric.values()].find((host) => host !== this && host.attempts.has(migration));
    const theirs = peer?.attempts.get(migration);
    if (!peer || !theirs) throw new Error('there is no destination');
    this.#vm(vm).state = 'in-doubt';
    this.#attempt(migration).enter('in-doubt');
    if (there === 'ran') {
      peer.settleVm(vm, theirs.runState);
      theirs.enter('completed');
    } else if (there === 'aborted') {
      peer.vms.delete(vm);
      theirs.enter('failed', { code: 'hypervisor', message: 'QEMU did not load the VM' });
    } else if (there === 'returning') {
      peer.#vm(vm).state = 'in-doubt';
      theirs.enter('in-doubt');
    } else if (there === 'lost') {
      peer.settleVm(vm, 'crashed');
      theirs.enter('lost', { code: 'hypervisor', message: "the VM's QEMU ended at the destination after the handover" });
    }
  }

  /** The VM is an ordinary one of this host. */
  settleVm(name: string, state: VmState): void {
    const vm = this.#vm(name);
    vm.state = state;
    delete vm.migration;
  }

  #forget(name: string, disksToo: boolean): void {
    if (disksToo) this.pools.leave(this.#vm(name).definition);
    this.vms.delete(name);
  }

  #cancel(migration: string): FakeAttempt {
    const attempt = this.#attempt(migration);
    const { phase, role, vm } = attempt.report;
    if (!['preparing', 'connecting', 'copying', 'switching-over'].includes(phase)) {
      throw new SealiftError('wrong_state', `migration ${migration} is ${phase}; it cannot be cancelled any more`);
    }
    attempt.enter('cancelled', { code: 'cancelled', message: `cancelled while ${phase}; VM ${vm} runs on at the source` });
    if (role === 'destination') this.#forget(vm, true);
    else {
      this.settleVm(vm, attempt.runState);
      for (const peer of this.#fabric.values()) if (peer !== this && peer.attempts.get(migration)?.ended === false) peer.#cancel(migration);
    }
    return attempt;
  }
}
