/**
 * An attacker on a lab's migration network who has drawn alpha's traffic to bravo to himself, as whoever owns the switch can:
 *
 *     alpha 10.77.2.11 ──── bridge mig ──── bravo 10.77.2.12
 *                               │
 *            10.77.2.66 and, as alpha believes, 10.77.2.12:
 *               sl-ID-attacker, a namespace of its own
 *
 * alpha is told the attacker's MAC for bravo's address. The attacker has that address too, for what comes in; what he sends there himself
 * leaves his namespace, by a rule before the table of local addresses.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { run } from '../../lab/src/system/command.ts';
import { type Host, namespaceOf, type Plan, switchPort } from '../../lab/src/topology/plan.ts';

const program = fileURLToPath(new URL('attack-process.ts', import.meta.url));
const own = '10.77.2.66';
const wireTable = '100';

export class AttackedWire implements AsyncDisposable {
  /** How many units the present script has attacked. */
  strokes = 0;
  readonly #plan: Plan;
  readonly #namespace: string;
  readonly #alpha: Host;
  readonly #address: string;
  readonly #port: string;
  #mac = '';
  #process: ChildProcessByStdio<Writable, Readable, null> | undefined;
  #exited: Promise<unknown> | undefined;
  #answer = Promise.withResolvers<string>();
  #stroke = Promise.withResolvers<void>();

  private constructor(id: string, plan: Plan) {
    const [alpha, bravo] = plan.hosts;
    if (!alpha || !bravo) throw new Error('the lab has no two hosts');
    this.#plan = plan;
    this.#namespace = namespaceOf(id, 'attacker');
    this.#alpha = alpha;
    [this.#address = '', this.#port = ''] = bravo.migrationEndpoint.split(':');
  }

  /** To be disposed of before the lab is. */
  static async lay(id: string, plan: Plan): Promise<AttackedWire> {
    const wire = new AttackedWire(id, plan);
    try {
      await wire.#build();
      wire.#start();
    } catch (error) {
      await wire[Symbol.asyncDispose]().catch(() => undefined); // the first error says more
      throw error;
    }
    return wire;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process?.stdin.end();
    this.#process?.kill('SIGKILL');
    await this.#exited;
    await run('ip', ['netns', 'delete', this.#namespace]); // the port in the switch goes with its other end
  }

  /** Alpha's new connections to bravo's migration port go through the attacker, until {@link rest}. */
  async attack(script: string): Promise<void> {
    this.strokes = 0;
    this.#stroke = Promise.withResolvers();
    await this.#order(script);
    await this.#ip(this.#alpha.namespace, 'neighbour', 'replace', this.#address, 'lladdr', this.#mac, 'dev', 'mig0', 'nud', 'permanent');
  }

  /** Cuts what goes through the attacker, and lets everything else pass him by. @throws Error where the script went wrong */
  async rest(): Promise<void> {
    await this.#ip(this.#alpha.namespace, 'neighbour', 'delete', this.#address, 'dev', 'mig0');
    await this.#order('');
  }

  /** Once the present script has attacked something. */
  get struck(): Promise<void> {
    return this.#stroke.promise;
  }

  async #order(line: string): Promise<void> {
    this.#answer = Promise.withResolvers();
    if (this.#process?.exitCode !== null) throw new Error('the attacker has ended');
    this.#process.stdin.write(`${line}\n`);
    const answer = await this.#answer.promise;
    if (answer !== 'ready') throw new Error(`the attacker: ${answer}`);
  }

  #start(): void {
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', program, this.#address, this.#port];
    const child = spawn('ip', ['netns', 'exec', this.#namespace, ...node], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process = child;
    this.#exited = once(child, 'exit').then(() => this.#answer.resolve('it has ended'));
    child.stdin.on('error', () => undefined); // its end is told by the answer
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line !== 'struck') return this.#answer.resolve(line);
      this.strokes++;
      this.#stroke.resolve();
    });
  }

  async #build(): Promise<void> {
    const far = switchPort('mig', 'attacker');
    await run('ip', ['netns', 'add', this.#namespace]);
    const ip = (...args: string[]) => this.#ip(this.#namespace, ...args);
    await ip('link', 'set', 'lo', 'up');
    await ip('link', 'add', 'mig0', 'mtu', '1500', 'type', 'veth', 'peer', 'name', far, 'netns', this.#plan.switch);
    await this.#ip(this.#plan.switch, 'link', 'set', far, 'master', 'mig', 'mtu', '1500', 'up');
    // Asking in bravo's name, or answering for it, would draw more than alpha's traffic.
    const discreet = 'cd /proc/sys/net/ipv4/conf/all; echo 2 > arp_announce; echo 1 > arp_ignore';
    await run('ip', ['netns', 'exec', this.#namespace, 'sh', '-c', discreet]);
    await ip('address', 'add', `${own}/24`, 'dev', 'mig0');
    await ip('link', 'set', 'mig0', 'up');
    await ip('address', 'add', `${this.#address}/32`, 'dev', 'lo');
    await ip('route', 'add', this.#address, 'dev', 'mig0', 'src', own, 'table', wireTable);
    await ip('rule', 'add', 'pref', '10', 'iif', 'lo', 'to', this.#address, 'lookup', wireTable);
    await ip('rule', 'add', 'pref', '20', 'lookup', 'local');
    await ip('rule', 'delete', 'pref', '0');
    const links: { address?: string }[] = JSON.parse(await ip('-json', 'link', 'show', 'mig0'));
    this.#mac = links[0]?.address ?? '';
  }

  #ip(namespace: string, ...args: string[]): Promise<string> {
    return run('ip', ['-n', namespace, ...args]);
  }
}
