/** Captures an interface of a namespace into a file with tcpdump, and knows whether it got everything. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

export interface CaptureOptions {
  readonly namespace: string;
  /** An interface that each packet passes once: one port of a bridge, not the bridge. */
  readonly interface: string;
  readonly file: string;
}

/** tcpdump's own count. */
export interface CaptureCount {
  readonly captured: number;
  readonly received: number;
  readonly dropped: number;
}

/** The kernel keeps so much for tcpdump, KiB, while that is busy: a second or more of a fast migration. */
const bufferKiB = 256 * 1024;

export class Capture {
  readonly #child: ChildProcess;
  readonly #interface: string;
  #said = '';

  private constructor(child: ChildProcess, options: CaptureOptions) {
    this.#child = child;
    this.#interface = options.interface;
    child.stderr?.on('data', (bytes) => {
      this.#said += bytes;
    });
    child.on('error', (error) => {
      this.#said += error.message;
    });
  }

  /** @returns once packets are being captured @throws Error when tcpdump cannot */
  static async start(options: CaptureOptions): Promise<Capture> {
    const words = ['-i', options.interface, '-n', '--nano', '-B', String(bufferKiB), '-s', '0', '-Z', 'root', '-w', options.file];
    const child = spawn('ip', ['netns', 'exec', options.namespace, 'tcpdump', ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
    const capture = new Capture(child, options);
    await capture.#until(() => capture.#said.includes('listening on'));
    return capture;
  }

  /**
   * Ends the capture once all that the interface has carried until now is in the file.
   * @throws Error when packets are missing from it
   */
  async stop(): Promise<CaptureCount> {
    // What is still in the kernel's buffer at the end would be neither written nor counted as dropped: so first all that came until now has to be written.
    const { received: carried } = await this.#count('SIGUSR1');
    for (let tries = 0; ; tries++) {
      const { captured } = await this.#count('SIGUSR1');
      if (captured >= carried) break;
      if (tries === 100) throw new Error(`tcpdump on ${this.#interface} does not keep up: ${captured} of ${carried} packets`);
      await sleep(50);
    }
    const count = await this.#count('SIGINT');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    if (count.dropped > 0) throw new Error(`the capture of ${this.#interface} is not whole: the kernel dropped ${count.dropped} packets`);
    return count;
  }

  /** Ends the capture whatever it holds. */
  async abandon(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  /** tcpdump says its count when it gets SIGUSR1, and when it ends. */
  async #count(signal: 'SIGUSR1' | 'SIGINT'): Promise<CaptureCount> {
    this.#said = '';
    this.#child.kill(signal);
    const pattern = /(\d+) packets? captured[\s\S]*?(\d+) packets? received by filter[\s\S]*?(\d+) packets? dropped by kernel/;
    await this.#until(() => pattern.test(this.#said));
    const [, captured, received, dropped] = (pattern.exec(this.#said) ?? []).map(Number);
    return { captured: captured ?? 0, received: received ?? 0, dropped: dropped ?? 0 };
  }

  async #until(condition: () => boolean): Promise<void> {
    const end = performance.now() + 10_000;
    while (!condition()) {
      const gone = this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined;
      // What it said last may come after its exit.
      if (gone) await sleep(50);
      if (condition()) return;
      if (gone || performance.now() > end)
        throw new Error(`tcpdump on ${this.#interface} failed: ${this.#said.trim() || 'no word from it'}`);
      await sleep(10);
    }
  }
}
