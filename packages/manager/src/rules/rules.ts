/** Rules of placement, as administrators set them; the planner keeps to them. */
import { type Rule, SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Events } from '../events/events.ts';
import type { Store } from '../store/store.ts';

export class Rules {
  readonly #store: Store;
  readonly #events: Events;
  readonly #log: Logger;

  constructor(store: Store, events: Events, log: Logger) {
    this.#store = store;
    this.#events = events;
    this.#log = log;
  }

  /** By name. */
  list(): Promise<Rule[]> {
    return this.#store.policy.listRules();
  }

  /**
   * Makes or replaces one. VMs and hosts that it names need not be there yet.
   * @throws SealiftError invalid_request where it could not mean anything
   */
  async set(name: string, rule: Omit<Rule, 'name'>): Promise<Rule> {
    const { kind, vms, hosts } = rule;
    const ofHosts = kind === 'on-hosts' || kind === 'not-on-hosts';
    if (ofHosts && hosts.length === 0) throw new SealiftError('invalid_request', `hosts: a rule ${kind} names at least one host`);
    if (!ofHosts && hosts.length > 0) throw new SealiftError('invalid_request', `hosts: a rule ${kind} is about VMs and names no host`);
    if (!ofHosts && new Set(vms).size < 2) throw new SealiftError('invalid_request', `vms: a rule ${kind} names at least two VMs`);
    const whole = { name, ...rule };
    await this.#store.policy.setRule(whole);
    this.#log.info({ rule: whole }, 'rule set');
    const message = `rule ${name}: ${vms.join(', ')} ${kind}${ofHosts ? ` ${hosts.join(', ')}` : ''}${rule.must ? ' (must)' : ''}`;
    this.#events.publish({ type: 'rule.changed', subject: {}, message, data: { rule: name } });
    return whole;
  }

  /** @throws SealiftError not_found */
  async remove(name: string): Promise<void> {
    if (!(await this.#store.policy.removeRule(name))) throw new SealiftError('not_found', `there is no rule ${name}`);
    this.#log.info({ rule: name }, 'rule removed');
    this.#events.publish({ type: 'rule.changed', subject: {}, message: `rule ${name} was removed`, data: { rule: name } });
  }
}
