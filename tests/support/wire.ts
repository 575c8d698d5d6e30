/**
 * Two hosts and the switches between them, for tests in which the network goes away. Needs root.
 *
 *     namespace NAME-s                 namespace NAME-w                  namespace NAME-d
 *     source: e0 10.90.0.1/24 ──── s0 ─ bridge b0 ─ d0 ──── e0 10.90.0.2/24 :destination
 *             e1 10.90.1.1/24 ──── s1 ─ bridge b1 ─ d1 ──── e1 10.90.1.2/24
 *
 * A cable is pulled by setting a switch's port down: its host loses the carrier, the other host notices nothing. One direction is lost by
 * sending its frames to a hardware address that nobody has: no host notices anything.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Locally administered, and nobody's. */
const nobody = '02:00:00:00:00:ee';

export type Host = 'source' | 'destination';

export class Wire implements AsyncDisposable {
  readonly name = `slw-${randomBytes(4).toString('hex')}`;
  readonly networks: number;

  private constructor(networks: number) {
    this.networks = networks;
  }

  static async make(networks: number): Promise<Wire> {
    const wire = new Wire(networks);
    try {
      await wire.#build();
    } catch (error) {
      await wire[Symbol.asyncDispose]();
      throw error;
    }
    return wire;
  }

  namespace(host: Host | 'switch'): string {
    return `${this.name}-${host === 'switch' ? 'w' : host.charAt(0)}`;
  }

  address(host: Host, network: number): string {
    return `10.90.${network}.${host === 'source' ? 1 : 2}`;
  }

  async pull(host: Host, network: number): Promise<void> {
    await this.#ip('switch', 'link', 'set', portOf(host, network), 'down');
  }

  async plug(host: Host, network: number): Promise<void> {
    await this.#ip('switch', 'link', 'set', portOf(host, network), 'up');
  }

  /** Whatever the host sends from here on reaches nobody. */
  async mute(host: Host, network: number): Promise<void> {
    const to = this.address(host === 'source' ? 'destination' : 'source', network);
    await this.#ip(host, 'neighbour', 'replace', to, 'lladdr', nobody, 'dev', `e${network}`, 'nud', 'permanent');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { stdout } = await run('ip', ['netns', 'list']);
    for (const host of ['source', 'destination', 'switch'] as const) {
      if (new RegExp(`^${this.namespace(host)}\\b`, 'm').test(stdout)) await run('ip', ['netns', 'delete', this.namespace(host)]);
    }
  }

  async #build(): Promise<void> {
    for (const host of ['source', 'destination', 'switch'] as const) await run('ip', ['netns', 'add', this.namespace(host)]);
    for (let network = 0; network < this.networks; network++) {
      await this.#ip('switch', 'link', 'add', `b${network}`, 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0');
      await this.#ip('switch', 'link', 'set', `b${network}`, 'up');
      for (const host of ['source', 'destination'] as const) {
        const [near, far] = [`e${network}`, portOf(host, network)];
        await this.#ip(host, 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', this.namespace('switch'));
        await this.#ip('switch', 'link', 'set', far, 'master', `b${network}`, 'up');
        await this.#ip(host, 'address', 'add', `${this.address(host, network)}/24`, 'dev', near);
        await this.#ip(host, 'link', 'set', near, 'up');
      }
    }
  }

  async #ip(host: Host | 'switch', ...args: string[]): Promise<void> {
    await run('ip', ['-n', this.namespace(host), ...args]);
  }
}

const portOf = (host: Host, network: number): string => `${host.charAt(0)}${network}`;
