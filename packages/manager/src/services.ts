/** The manager's services, joined to each other, and the order in which they come up and go. */
import type { Logger } from 'pino';
import { Hosts } from './agents/hosts.ts';
import type { Identity } from './agents/identity.ts';
import type { Services } from './api/handlers.ts';
import { Balances } from './balance/balances.ts';
import { Clusters } from './clusters/clusters.ts';
import { type DrainPace, Drains } from './drain/drains.ts';
import { Events } from './events/events.ts';
import { defaultHistory, type HistoryPolicy, Keeping } from './events/keeping.ts';
import { Exclusive } from './exclusive.ts';
import { Migrations } from './migrations/migrations.ts';
import { Resolutions } from './migrations/resolutions.ts';
import { Rules } from './rules/rules.ts';
import type { Store } from './store/store.ts';
import { Tasks } from './tasks/tasks.ts';
import { Vms } from './vms/vms.ts';

const defaultPollMs = 3_000;
const defaultPace: DrainPace = { attempts: 3, firstWaitMs: 5_000, roundMs: 2_000 };
const defaultAutoMs = 60_000;

/** What may be set otherwise than by default. */
export interface Tuning {
  /** How often each host is asked how it is, ms. */
  readonly pollMs?: number;
  readonly history?: HistoryPolicy;
  /** How often clusters that are balanced by themselves are looked at, ms. */
  readonly autoBalanceMs?: number;
  /** How drains and balances go about their migrations. */
  readonly pace?: Partial<DrainPace>;
}

export interface Running {
  readonly services: Omit<Services, 'metrics' | 'version'>;
  /** Takes up what the store knows: hosts, then migrations, then drains and balances. */
  open(): Promise<void>;
  /** Ends all following and running. Nothing that is under way at the agents is touched. */
  close(): Promise<void>;
}

export function assemble(store: Store, identity: Identity, log: Logger, tuning: Tuning): Running {
  const resolutions = new Resolutions(store, log);
  const events = new Events(store, log);
  const hosts = new Hosts(identity, { store, log, pollMs: tuning.pollMs ?? defaultPollMs, greet: resolutions, events });
  const migrations = new Migrations(store, hosts, resolutions, log, events);
  const tasks = new Tasks(store, events, migrations, log);
  const vms = new Vms({ store, hosts, resolutions, tasks, events, log });
  const clusters = new Clusters(store, hosts, events, log);
  const rules = new Rules(store, events, log);
  const planning = migrations.planner;
  const pace = { ...defaultPace, ...tuning.pace, autoMs: tuning.autoBalanceMs ?? defaultAutoMs };
  const runners = { store, hosts, tasks, events, moving: migrations, planning, log, pace, beginning: new Exclusive() };
  const drains = new Drains(runners);
  const balances = new Balances(runners);
  const keeping = new Keeping(store, tuning.history ?? defaultHistory, log);

  return {
    services: { store, hosts, vms, migrations, planning, clusters, rules, tasks, events, drains, balances },
    async open() {
      await events.open();
      await resolutions.open();
      await hosts.open();
      await migrations.resume();
      for (const task of await tasks.open()) {
        if (task.stored.kind === 'drain') drains.resume(task);
        else balances.resume(task);
      }
      balances.open();
      keeping.open();
    },
    async close() {
      const ended = Promise.all([tasks.close(), drains.close(), balances.close(), migrations.close(), keeping.close()]);
      await hosts.close(); // ends the calls that these may be waiting for
      await ended;
      await tasks.close(); // what was said at last
      await events.close();
    },
  };
}
