/** A lab of its own for an end-to-end test, used as a person would: by the sealift command. Needs root. */
import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pathsOf } from '../../lab/src/lab/paths.ts';
import { planOf } from '../../lab/src/topology/plan.ts';

export const sealift = fileURLToPath(new URL('../../bin/sealift', import.meta.url));

export interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export const run = (command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Answer> =>
  new Promise((resolve) => {
    execFile(command, args, { env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      const status = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
      resolve({ status, stdout, stderr });
    });
  });

/** What one host has of VMs and migrations. Two of these are equal where nothing was left behind. */
export interface HostState {
  readonly qemus: readonly string[];
  readonly taps: readonly string[];
  /** Below the agent's run and state directories, but for logs and the journal. */
  readonly files: readonly string[];
  /** What the agent has open: sockets and files; numbers of sockets are left out. */
  readonly descriptors: number;
  /** On the port of sealed channels. */
  readonly channelSockets: number;
  /** Attempts whose last record is not `ended`. */
  readonly openAttempts: readonly string[];
}

export class TestLab implements AsyncDisposable {
  readonly id = `t${randomBytes(3).toString('hex')}`;
  readonly paths = pathsOf(this.id);
  readonly plan = planOf(this.id);

  static async up(options: { memoryMiB?: number } = {}): Promise<TestLab> {
    const lab = new TestLab();
    const args = ['lab', 'up', '--id', lab.id, '--memory', String(options.memoryMiB ?? 256)];
    const { status, stdout, stderr } = await run(sealift, args);
    if (status !== 0) {
      await lab[Symbol.asyncDispose]();
      throw new Error(`lab up: exit status ${status}\n${stdout}${stderr}`);
    }
    return lab;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { status, stderr } = await run(sealift, ['lab', 'down', '--id', this.id]);
    if (status !== 0) throw new Error(`lab down: ${stderr}`);
  }

  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, SEALIFT_MANAGER: `unix:${this.paths.managerSocket}` };
  }

  sealift(...args: string[]): Promise<Answer> {
    return run(sealift, args, this.environment);
  }

  /** @throws Error where it does not end with exit status 0 */
  async json<T>(...args: string[]): Promise<T> {
    const { status, stdout, stderr } = await this.sealift('--json', ...args);
    if (status !== 0) throw new Error(`sealift ${args.join(' ')}: exit status ${status}: ${stderr}`);
    return JSON.parse(stdout);
  }

  hostState(host: 'alpha' | 'bravo'): HostState {
    const namespace = this.plan.hosts.find((each) => each.name === host)?.namespace ?? '';
    const inside = (...command: string[]) => execFileSync('ip', ['netns', 'exec', namespace, ...command], { encoding: 'utf8' });
    const run = this.paths.agentRun(host);
    const state = this.paths.agentState(host);
    const files = [run, state].flatMap((root) => readdirSync(root, { recursive: true, encoding: 'utf8' }).map((file) => join(root, file)));
    const journal = readFileSync(join(state, 'journal'), 'utf8').trim().split('\n').filter(Boolean);
    const last = new Map<string, string>();
    for (const line of journal) {
      const { migration, attempt, step } = JSON.parse(line.slice(9)).record;
      last.set(`${migration}/${attempt}`, step);
    }
    const tcp = inside('cat', '/proc/net/tcp').split('\n').slice(1);
    return {
      qemus: processes((argv) => argv.some((word) => word.includes(`${run}/`)) && (argv[0] ?? '').includes('qemu-system')),
      taps: [...inside('ip', '-o', 'link').matchAll(/: (sl[0-9a-z-]+)[@:]/g)].map((match) => match[1] ?? ''),
      files: files.filter((file) => !/\.log$|\/journal$/.test(file)).sort(),
      descriptors: descriptorsOf(processes((argv) => argv.includes('agent') && argv.includes(host) && argv.includes(run) && isNode(argv))),
      // 0x21CB is 8651; TIME_WAIT (06) is the kernel's own affair.
      channelSockets: tcp.filter((line) => /:21CB /.test(line) && !/:[0-9A-F]{4} 06 /.test(line)).length,
      openAttempts: [...last].filter(([, step]) => step !== 'ended').map(([attempt]) => attempt),
    };
  }
}

const isNode = (argv: readonly string[]): boolean => /\/node$/.test(argv[0] ?? '');

/** Ids of the processes whose command line fits. */
function processes(fits: (argv: readonly string[]) => boolean): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return fits(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0'));
    } catch {
      return false; // it ended meanwhile
    }
  });
}

/** How many descriptors these processes have open, but for what Node opens and closes by itself. */
function descriptorsOf(pids: readonly string[]): number {
  let count = 0;
  for (const pid of pids) {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      try {
        // The manager's connections come and go.
        if (!readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')) count++;
      } catch {
        // It was closed meanwhile.
      }
    }
  }
  return count;
}
