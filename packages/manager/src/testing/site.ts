/** A whole site in one process: a manager and pretended hosts, two or more, talking over real TLS and HTTP on loopback. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient, type Migration, publicApi, type Task, type VmDefinition } from '@sealift/contract';
import pino from 'pino';
import type { Identity } from '../agents/identity.ts';
import { type Manager, startManager } from '../manager.ts';
import type { Tuning } from '../services.ts';
import { TestCa } from './certificates.ts';
import { FakeAgent } from './fake-agent.ts';
import type { Fabric, FakeHost } from './fake-host.ts';
import { definitionOf } from './records.ts';

/** Rounds and retries at a test's pace. */
const quick: Tuning = { pollMs: 100, pace: { attempts: 3, firstWaitMs: 20, roundMs: 50 } };

export interface SiteOptions {
  /** Beside alpha and bravo. */
  readonly more?: readonly string[];
  readonly tuning?: Tuning;
}

export class Site {
  readonly ca: TestCa;
  readonly alpha: FakeAgent;
  readonly bravo: FakeAgent;
  readonly more: readonly FakeAgent[];
  readonly #tuning: Tuning;
  readonly directory = mkdtempSync(join(tmpdir(), 'sealift-site-'));
  readonly #identity: Identity;
  #manager: Manager | undefined;

  private constructor(ca: TestCa, identity: Identity, [alpha, bravo]: readonly [FakeAgent, FakeAgent], more: FakeAgent[], tuning: Tuning) {
    this.ca = ca;
    this.#identity = identity;
    this.alpha = alpha;
    this.bravo = bravo;
    this.more = more;
    this.#tuning = { ...quick, ...tuning };
  }

  /** With all hosts added; stop it with {@link close}. */
  static async start({ more = [], tuning = {} }: SiteOptions = {}): Promise<Site> {
    const ca = await TestCa.create();
    const fabric: Fabric = new Map();
    const start = async (name: string) => FakeAgent.start(name, await ca.issue(`${name}.agent.sealift`), fabric);
    const both = [await start('alpha'), await start('bravo')] as const;
    const others: FakeAgent[] = [];
    for (const name of more) others.push(await start(name));
    const site = new Site(ca, await ca.issue('manager.sealift'), both, others, tuning);
    try {
      await site.startManager();
      for (const agent of site.agents) {
        await site.client.addHost({ body: { name: agent.host.name, endpoint: agent.endpoint } });
      }
      return site;
    } catch (error) {
      await site.close();
      throw error;
    }
  }

  get agents(): readonly FakeAgent[] {
    return [this.alpha, this.bravo, ...this.more];
  }

  get socket(): string {
    return join(this.directory, 'manager.sock');
  }

  get url(): string {
    if (!this.#manager) throw new Error('the manager is not running');
    return this.#manager.url;
  }

  get client(): Client<typeof publicApi> {
    return createClient(publicApi, this.url, fetch, 'manager_unreachable');
  }

  async startManager(): Promise<void> {
    this.#manager = await startManager({
      state: join(this.directory, 'state'),
      socket: this.socket,
      listen: { host: '127.0.0.1', port: 0 },
      identity: this.#identity,
      log: pino({ level: process.env['SEALIFT_TEST_LOG'] ?? 'silent' }),
      ...this.#tuning,
    });
  }

  async stopManager(): Promise<void> {
    await this.#manager?.close();
    this.#manager = undefined;
  }

  /** A VM that runs on alpha, or on another host. */
  async running(name: string, changes: Partial<VmDefinition> = {}, host = 'alpha'): Promise<void> {
    await this.client.createVm({ body: { host, definition: definitionOf(name, changes) } });
    await this.client.startVm({ params: { vm: name } });
  }

  /** A migration of a new VM from alpha to bravo whose link has died after the grant. @param there what has become of it at bravo */
  async doubtful(vm: string, there: Parameters<FakeHost['breakOff']>[1]): Promise<string> {
    await this.running(vm);
    this.alpha.host.hold('releasing');
    const { id } = await this.client.migrateVm({ params: { vm }, body: { to: 'bravo' } });
    await this.reaches(id, 'granted');
    this.alpha.host.breakOff(id, there);
    this.alpha.host.release();
    return id;
  }

  /** Everything the manager tells of a migration until its stream ends. */
  async watch(migration: string): Promise<Migration[]> {
    const states: Migration[] = [];
    for await (const state of this.client.watchMigration({ params: { migration } })) states.push(state);
    return states;
  }

  /** The first state of a migration in this phase; fails when it ends in another. */
  async reaches(migration: string, phase: Migration['phase']): Promise<Migration> {
    for await (const state of this.client.watchMigration({ params: { migration } })) {
      if (state.phase === phase) return state;
    }
    throw new Error(`migration ${migration} ended without having been ${phase}`);
  }

  /** A task as it is in the end. */
  async ended(task: string): Promise<Task> {
    let last: Task | undefined;
    for await (const state of this.client.watchTask({ params: { task } })) last = state;
    if (last?.endedAt === undefined) throw new Error(`the stream of task ${task} ended before the task had`);
    return last;
  }

  /** The first state of a task that is so; fails when it ends without. */
  async taskIs(task: string, so: (state: Task) => boolean): Promise<Task> {
    for await (const state of this.client.watchTask({ params: { task } })) if (so(state)) return state;
    throw new Error(`task ${task} ended without having been so`);
  }

  async close(): Promise<void> {
    await this.stopManager();
    for (const agent of this.agents) {
      agent.host.release();
      await agent.stop();
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
