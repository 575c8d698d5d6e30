/**
 * Administrators' decisions on the way to the hosts. A decision is in the database before any host is told; each host is told until it has
 * followed it or has said why it cannot, also over a restart of the manager, and before anything else is asked of a host that was away.
 */
import { type HostReport, type Keep, type Migration, SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { AgentLink } from '../agents/link.ts';
import type { Greet } from '../agents/monitor.ts';
import { unreachable } from '../agents/reason.ts';
import type { Store } from '../store/store.ts';

const answerMs = 10_000;

/** What one host has to be told. */
export interface Order {
  readonly migration: Pick<Migration, 'id' | 'attempt' | 'vm' | 'from' | 'to'>;
  readonly keep: Keep;
  /** What this host is in the migration. */
  readonly side: Keep;
}

/** `later`: it cannot follow yet, and is to be asked again. */
export type Told = { readonly outcome: 'followed' } | { readonly outcome: 'refused' | 'later'; readonly words: string };

export const hostOf = ({ from, to }: Pick<Migration, 'from' | 'to'>, side: Keep): string => (side === 'source' ? from : to);

/** States of an agent's attempt (packages/agent/src/handover) that pass by themselves. */
const passing: readonly unknown[] = ['opening', 'copying', 'switching', 'granted', 'running', 'receiving'];

export class Resolutions implements Greet {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #untold = new Map<string, Order[]>();

  constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** Takes up what was not told when the manager was last stopped. Decisions of migrations that have not ended are taken up with them. */
  async open(): Promise<void> {
    for (const { migration } of await this.#store.untoldResolutions()) if (migration.endedAt !== undefined) this.expect(migration);
  }

  /** From now on, hosts that have not heard of this migration's decision are told when they answer. */
  expect(migration: Migration): void {
    const { resolution } = migration;
    if (!resolution) return;
    for (const side of ['source', 'destination'] as const) {
      const host = hostOf(migration, side);
      if (!resolution.waitingFor.includes(host)) continue;
      this.#untold.set(host, [...this.#waiting(host), { migration, keep: resolution.keep, side }]);
    }
  }

  /** Decisions about this VM that hosts have not followed yet, by host. */
  untoldOf(vm: string): { readonly host: string; readonly keep: Keep; readonly migration: string }[] {
    return [...this.#untold].flatMap(([host, orders]) =>
      orders.filter(({ migration }) => migration.vm === vm).map(({ migration, keep }) => ({ host, keep, migration: migration.id })),
    );
  }

  /** Tells a host everything that it has not heard. @throws SealiftError agent_unreachable */
  async before(link: AgentLink): Promise<void> {
    for (const order of this.#waiting(link.host)) {
      const { outcome } = await this.tell(link, order);
      if (outcome === 'later') continue;
      const left = this.#waiting(link.host).filter((each) => each !== order);
      if (left.length > 0) this.#untold.set(link.host, left);
      else this.#untold.delete(link.host);
    }
  }

  /** An agent that was restarted before it had done what was decided is in doubt again: it is told again. */
  async after(link: AgentLink, report: HostReport): Promise<void> {
    for (const { state, migration: id, definition } of report.vms) {
      if (state !== 'in-doubt' || id === undefined) continue;
      try {
        const migration = (await this.#store.getMigration(id))?.migration;
        if (migration?.endedAt === undefined || !migration.resolution) continue;
        const side = migration.from === link.host ? 'source' : 'destination';
        await this.tell(link, { migration, keep: migration.resolution.keep, side });
      } catch (error) {
        this.#log.warn(
          { err: error, migration: id, vm: definition.name, host: link.host },
          'a host could not be told a decision again yet',
        );
      }
    }
  }

  /** @throws SealiftError agent_unreachable where it does not answer */
  async tell(link: AgentLink, { migration: { id, attempt, vm }, keep, side }: Order): Promise<Told> {
    const told = await ask(link, id, attempt, keep);
    const log = this.#log.child({ migration: id, vm, host: link.host, keep });
    if (told.outcome === 'later') {
      log.warn({ reason: told.words }, "a host cannot follow an administrator's decision yet");
      return told;
    }
    await this.#store.resolutionHeard(id, side, Date.now(), told.outcome === 'refused' ? told.words : undefined);
    if (told.outcome === 'followed') log.warn("a host has followed an administrator's decision");
    else log.error({ reason: told.words }, "a host cannot follow an administrator's decision");
    return told;
  }

  #waiting(host: string): readonly Order[] {
    return this.#untold.get(host) ?? [];
  }
}

async function ask(link: AgentLink, migration: string, attempt: number, keep: Keep): Promise<Told> {
  try {
    await link.client.resolveAttempt({ params: { migration }, body: { attempt, keep } }, AbortSignal.timeout(answerMs));
    return { outcome: 'followed' };
  } catch (error) {
    if (!(error instanceof SealiftError)) throw unreachable(link.host, link.endpoint, error);
    if (error.code === 'agent_unreachable' || error.code === 'not_authorised') throw error;
    // It has nothing of this attempt to keep or to give up.
    if (error.code === 'not_found') return { outcome: 'followed' };
    const { message: words, details } = error;
    return { outcome: error.code === 'wrong_state' && !passing.includes(details?.['state']) ? 'refused' : 'later', words };
  }
}
