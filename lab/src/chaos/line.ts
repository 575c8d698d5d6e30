/** The lab's links, made worse at the switch: a port down, everything towards a box lost, or little let through. */
import { run } from '../system/command.ts';
import { type Plan, switchPort } from '../topology/plan.ts';

/** `deaf`: nothing reaches the box, and everything that it sends is carried. */
export type Condition = 'down' | 'deaf' | 'slow' | 'narrow';

/**
 * `slow` is what a fault makes of a link: 2 Mbit/s for migrations, 64 kbit/s for management, up to 3 s in the queue. `narrow` is what keeps a
 * grant on its way for some hundred milliseconds.
 */
const shapes: Record<'slow' | 'narrow', Record<'mig' | 'mgmt', readonly string[]>> = {
  slow: {
    mig: ['tbf', 'rate', '2mbit', 'burst', '16kb', 'latency', '3s'],
    mgmt: ['tbf', 'rate', '64kbit', 'burst', '4kb', 'latency', '3s'],
  },
  narrow: {
    mig: ['tbf', 'rate', '10mbit', 'burst', '16kb', 'latency', '2s'],
    mgmt: ['tbf', 'rate', '10mbit', 'burst', '16kb', 'latency', '2s'],
  },
};

/** Makes a port as it was before; nothing where it has been worsened again meanwhile. */
export type Heal = () => Promise<void>;

export class Line {
  readonly #plan: Plan;
  /** By port of the switch: what undoes its condition. */
  readonly #worse = new Map<string, readonly string[]>();

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** What this port was before is undone first. */
  async worsen(network: 'mig' | 'mgmt', box: string, condition: Condition): Promise<Heal> {
    const port = switchPort(network, box);
    await this.#heal(port);
    const down = condition === 'down';
    const undo = down ? ['ip', 'link', 'set', port, 'up'] : ['tc', 'qdisc', 'delete', 'dev', port, 'root'];
    this.#worse.set(port, undo);
    if (down) await this.#inSwitch('ip', 'link', 'set', port, 'down');
    else {
      const shape = condition === 'deaf' ? ['blackhole'] : shapes[condition][network];
      await this.#inSwitch('tc', 'qdisc', 'replace', 'dev', port, 'root', ...shape);
    }
    return async () => {
      if (this.#worse.get(port) === undo) await this.#heal(port);
    };
  }

  async healAll(): Promise<void> {
    for (const port of [...this.#worse.keys()]) await this.#heal(port);
  }

  async #heal(port: string): Promise<void> {
    const [program, ...args] = this.#worse.get(port) ?? [];
    if (program === undefined) return;
    this.#worse.delete(port);
    await this.#inSwitch(program, ...args);
  }

  async #inSwitch(program: string, ...args: readonly string[]): Promise<void> {
    await run(program, ['-n', this.#plan.switch, ...args]);
  }
}
