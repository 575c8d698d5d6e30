/**
 * Two hosts, each with a libvirtd of its own, on one machine: namespaces joined by a veth pair, which the script `host` sets up.
 *
 *   first 192.0.2.10 ───── veth ───── 192.0.2.20 second
 *
 * Each has its own /run/libvirt, /etc/libvirt and /var/lib/libvirt: what has the same path there is not the same file.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Answer, run, sealift } from '../support/lab.ts';
import { Started } from '../support/tunnel.ts';

const addresses = { first: '192.0.2.10', second: '192.0.2.20' };
const namespaces = ['--mount', '--uts', '--ipc', '--net', '--pid'];

/** @throws Error where the command fails */
async function must(command: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await run(command, args);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: exit status ${status}: ${stderr}`);
  return stdout.trim();
}

export class LibvirtHost implements AsyncDisposable {
  readonly name: keyof typeof addresses;
  readonly address: string;
  /** How virsh on either host reaches this host's libvirt. */
  readonly uri: string;
  readonly #unshare: ChildProcess;
  readonly #gone: Promise<unknown>;
  #pid: number | undefined;

  constructor(name: keyof typeof addresses, directory: string) {
    this.name = name;
    this.address = addresses[name];
    this.uri = `qemu+unix:///system?socket=${join(directory, name, 'libvirt-sock')}`;
    const flags = [...namespaces, '--fork', '--kill-child'];
    const host = join(import.meta.dirname, 'host');
    this.#unshare = spawn('unshare', [...flags, host, name, directory], { stdio: ['pipe', 'ignore', 'pipe'] });
    this.#gone = once(this.#unshare, 'close');
  }

  /** Until its libvirtd answers. @throws Error with what was said, where it does not come up */
  async ready(): Promise<void> {
    const said: string[] = [];
    if (!this.#unshare.stderr) throw new Error('its standard error is a pipe');
    for await (const line of createInterface({ input: this.#unshare.stderr })) {
      const pid = /^ready (\d+)$/.exec(line)?.[1];
      if (pid !== undefined) {
        this.#pid = Number(pid);
        this.#unshare.stderr.resume();
        return;
      }
      said.push(line);
    }
    throw new Error(`${this.name} did not come up:\n${said.join('\n')}`);
  }

  /** A path of this host, as this process reaches it. */
  path(path: string): string {
    return `/proc/${this.#pid}/root${path}`;
  }

  async connect(other: LibvirtHost): Promise<void> {
    const net = [`--target=${this.#pid}`, '--net'];
    await must(
      'nsenter',
      ...net,
      'ip',
      'link',
      'add',
      'wire',
      'type',
      'veth',
      'peer',
      'name',
      'wire',
      'netns',
      `/proc/${other.#pid}/ns/net`,
    );
  }

  async ip(...args: string[]): Promise<void> {
    await must('nsenter', `--target=${this.#pid}`, '--net', 'ip', ...args);
  }

  virsh(...args: string[]): Promise<Answer> {
    return run('virsh', ['--connect', this.uri, ...args]);
  }

  /** @throws Error where virsh fails */
  async must(...args: string[]): Promise<string> {
    return must('virsh', '--connect', this.uri, ...args);
  }

  /** What nsenter needs to run a command here. */
  inside(...command: string[]): string[] {
    return [`--target=${this.#pid}`, ...namespaces, '--', ...command];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Its process 1 ends with its standard input; unshare ends once all in the namespaces are gone.
    if (this.#pid === undefined) this.#unshare.kill('SIGKILL');
    this.#unshare.stdin?.end();
    await this.#gone;
  }
}

export class LibvirtLab implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'sealift-libvirt-'));
  readonly first: LibvirtHost;
  readonly second: LibvirtHost;
  readonly #scripts: Started[] = [];

  /** @param signal ends the hosts, and so whatever waits for them. @throws Error where they do not come up; nothing is left then */
  static async up(signal: AbortSignal): Promise<LibvirtLab> {
    if (process.getuid?.() !== 0) throw new Error('this makes namespaces and needs root; run it as root');
    const lab = new LibvirtLab();
    signal.addEventListener('abort', () => void lab.#end());
    try {
      await Promise.all([lab.first.ready(), lab.second.ready()]);
      await lab.first.connect(lab.second);
      for (const host of [lab.first, lab.second]) {
        await host.ip('address', 'add', `${host.address}/24`, 'dev', 'wire');
        await host.ip('link', 'set', 'wire', 'up');
      }
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor() {
    this.first = new LibvirtHost('first', this.directory);
    this.second = new LibvirtHost('second', this.directory);
  }

  /** Starts a script on a host, as root. @param variables what it takes from its environment */
  script(host: LibvirtHost, text: string, variables: Record<string, string>): Started {
    const PATH = `${dirname(sealift)}:${process.env['PATH']}`;
    const env = { ...process.env, PATH, LIBVIRT_DEFAULT_URI: 'qemu:///system', ...variables };
    const script = new Started('nsenter', host.inside('bash', '-c', text), env);
    this.#scripts.push(script);
    return script;
  }

  async #end(): Promise<void> {
    await Promise.all([this.first[Symbol.asyncDispose](), this.second[Symbol.asyncDispose]()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The hosts first: a script ends with its host, and not with the nsenter that was started here.
    await this.#end();
    await Promise.all(this.#scripts.map(({ ended }) => ended));
    rmSync(this.directory, { recursive: true, force: true });
  }
}
