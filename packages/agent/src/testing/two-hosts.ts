/**
 * Two agents in one process, for tests inside a network namespace:
 *
 *     alpha 127.0.0.1 ── whatever the test puts in between ── 127.0.0.2 bravo
 */
import { closeSync, mkdirSync, openSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AgentVm, SealiftError } from '@sealift/contract';
import { killQemu } from '@sealift/hypervisor';
import { createLog } from '../log.ts';
import { createAttempts } from '../migration/index.ts';
import { checkOptions } from '../options.ts';
import { type RunningAgent, runAgent } from '../run.ts';
import { bareVm } from './bare-vm.ts';
import { type CertificateFiles, TestAuthority } from './certificates.ts';

export interface TwoHostsOptions {
  /** log2 of the records of an epoch, at both hosts; the protocol's by default. */
  readonly epochBits?: number;
  /** Both have a pool `shared`, in one directory. */
  readonly sharedPool?: boolean;
  /** Each has a pool `own`. */
  readonly ownPools?: boolean;
}

/** The host that a VM leaves, and the one it goes to. */
export interface Ends {
  readonly source: RunningAgent;
  readonly destination: RunningAgent;
}

/** What is at a host of one VM and one migration: all of it, or nothing. */
export interface Left {
  readonly state: AgentVm['state'] | 'none';
  readonly runDirectory: boolean;
  readonly definition: boolean;
  /** The migration's own sockets. */
  readonly sockets: boolean;
}

export const nothingLeft: Left = { state: 'none', runDirectory: false, definition: false, sockets: false };
export const runsHere: Left = { state: 'running', runDirectory: true, definition: true, sockets: false };

export class TwoHosts implements AsyncDisposable {
  /** The secrets of every channel, both hosts': see docs/protocol.md "key log". */
  readonly keylog: { readonly file: string; readonly fd: number };
  readonly epochBits: number | undefined;
  /** The directory of that pool. */
  readonly sharedPool: string | undefined;
  readonly #ownPools: boolean;
  readonly #directory: string;
  readonly #certificates = new Map<string, CertificateFiles>();
  readonly #agents = new Map<string, RunningAgent>();

  private constructor(directory: string, { epochBits, sharedPool, ownPools = false }: TwoHostsOptions) {
    this.#ownPools = ownPools;
    this.#directory = directory;
    this.epochBits = epochBits;
    this.sharedPool = sharedPool ? join(directory, 'shared') : undefined;
    if (this.sharedPool !== undefined) mkdirSync(join(this.sharedPool, 'images'), { recursive: true });
    const file = join(directory, 'keys');
    this.keylog = { file, fd: openSync(file, 'a', 0o600) };
  }

  static async open(options: TwoHostsOptions = {}): Promise<TwoHosts> {
    const hosts = new TwoHosts(await mkdtemp(join(tmpdir(), 'slt-')), options);
    try {
      const authority = await TestAuthority.create(hosts.#directory);
      for (const name of ['alpha', 'bravo']) {
        if (hosts.#ownPools) mkdirSync(join(hosts.ownPool(name), 'images'), { recursive: true });
        hosts.#certificates.set(name, await authority.issue(`${name}.agent.sealift`));
        await hosts.#start(name);
      }
      return hosts;
    } catch (error) {
      await hosts[Symbol.asyncDispose]();
      throw error;
    }
  }

  get alpha(): RunningAgent {
    return this.#agent('alpha');
  }

  get bravo(): RunningAgent {
    return this.#agent('bravo');
  }

  /** The directory of a host's own pool. */
  ownPool(host: string): string {
    return join(this.#directory, host, 'pool');
  }

  /** A VM runs at alpha afterwards. */
  async boot(vm: string, memoryMiB = 64): Promise<Ends> {
    await this.alpha.host.vms.define(bareVm(vm, { memoryMiB }));
    await this.alpha.host.vms.start(vm);
    return this.endsOf(vm);
  }

  /** From where a VM is to where it is not; it is booted where it is nowhere. */
  async endsOf(vm: string, memoryMiB?: number): Promise<Ends> {
    if (this.alpha.host.vms.find(vm)) return { source: this.alpha, destination: this.bravo };
    if (this.bravo.host.vms.find(vm)) return { source: this.bravo, destination: this.alpha };
    return this.boot(vm, memoryMiB);
  }

  left({ host }: RunningAgent, vm: string, migration: string): Left {
    const has = (directory: string, name: string) => readdirSync(directory).includes(name);
    return {
      state: host.vms.find(vm)?.state ?? 'none',
      runDirectory: has(join(this.#run(host.identity.name), 'vms'), vm),
      definition: has(join(this.#state(host.identity.name), 'vms'), vm),
      sockets: has(host.runDirectory, migration),
    };
  }

  /** QEMUs run on meanwhile. @returns the agent that has taken the old one's place */
  async restart(agent: RunningAgent): Promise<RunningAgent> {
    const { name } = agent.host.identity;
    this.#agents.delete(name);
    await agent.stop();
    return this.#start(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents.values()) {
      for (const vm of agent.host.vms.list()) {
        if (vm.process) await killQemu(vm.process);
        await vm.exited;
        await agent.host.vms.discard(vm);
      }
      await agent.stop();
    }
    closeSync(this.keylog.fd);
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #start(name: string): Promise<RunningAgent> {
    const certificates = this.#certificates.get(name);
    if (!certificates) throw new Error(`no certificate for ${name}`);
    const address = name === 'alpha' ? '127.0.0.1' : '127.0.0.2';
    const options = checkOptions({
      name,
      state: this.#state(name),
      run: this.#run(name),
      listen: `${address}:8652`,
      migrationListen: [`${address}:8651`],
      ...certificates,
      accel: 'tcg',
      qemu: 'qemu-system-x86_64',
      threads: '1',
      ...(this.sharedPool !== undefined && { pool: [`shared=${this.sharedPool}`] }),
      ...(this.#ownPools && { pool: [`own=${this.ownPool(name)}`] }),
    });
    const { epochBits, keylog } = this;
    const attempts: typeof createAttempts = (host) => createAttempts(host, epochBits === undefined ? {} : { epochBits });
    const agent = await runAgent({ ...options, keylog }, attempts, '0.0.0-test', createLog({ daemon: name }, 'silent'));
    this.#agents.set(name, agent);
    return agent;
  }

  #agent(name: string): RunningAgent {
    const agent = this.#agents.get(name);
    if (!agent) throw new SealiftError('not_found', `${name} is not running`);
    return agent;
  }

  #state(name: string): string {
    return join(this.#directory, name, 'state');
  }

  /** Short: the path of a unix socket has at most 107 bytes. */
  #run(name: string): string {
    return join(this.#directory, name.slice(0, 1));
  }
}
