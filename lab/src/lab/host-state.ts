/** What a host has of VMs and migrations, looked at from outside: by what is running, open and on its disk. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from './lifecycle.ts';

/** What one host has of VMs and migrations. Two of these are equal where nothing was left behind. */
export interface HostState {
  readonly qemus: readonly string[];
  readonly taps: readonly string[];
  /** Below the agent's run and state directories, but for logs and the journal. */
  readonly files: readonly string[];
  /** What the agent has open: sockets and files; numbers of sockets are left out. */
  readonly descriptors: number;
  /** On the port of sealed channels, those that no process has open any more as well: docs/adr/0011. */
  readonly channelSockets: number;
  /** Attempts whose last record is not `ended`. */
  readonly openAttempts: readonly string[];
}

export const hostState = ({ plan, paths }: Pick<Lab, 'plan' | 'paths'>, host: string): HostState => {
  const namespace = plan.hosts.find((each) => each.name === host)?.namespace ?? '';
  const inside = (...command: string[]) => execFileSync('ip', ['netns', 'exec', namespace, ...command], { encoding: 'utf8' });
  const run = paths.agentRun(host);
  const state = paths.agentState(host);
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
};

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
