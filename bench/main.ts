/** `npm run bench -- NAME [options]`: the benchmarks behind SPECIFICATION.md. Each compares variants in one interleaved run, on any machine. */
const benchmarks: Record<string, { readonly words: string; readonly load: () => Promise<{ run: (args: string[]) => Promise<number> }> }> = {
  crypto: { words: "AES-256-GCM by the transport's binding, one thread: the limit", load: () => import('./crypto/main.ts') },
  distance: { words: 'a VM with its disk over a long line, by round trip', load: () => import('./distance/main.ts') },
  flood: { words: 'a transfer while ten thousand strangers connect', load: () => import('./flood/main.ts') },
  scale: { words: 'a manager of 2,500 simulated hosts with 40,000 VMs', load: () => import('./scale/main.ts') },
  peers: { words: 'one QEMU to another: sealift, QEMU plain and TLS, stunnel, ssh', load: () => import('./peers/main.ts') },
  transport: { words: 'the pumps alone, sealed and clear, by channels and threads', load: () => import('./transport/main.ts') },
  wan: { words: "the lab's long line against what was set, by ping and iperf3", load: () => import('./wan/main.ts') },
};

const [name = '--help', ...args] = process.argv.slice(2);
const chosen = Object.hasOwn(benchmarks, name) ? benchmarks[name] : undefined;
if (chosen) {
  process.exitCode = await (await chosen.load()).run(args);
} else {
  const lines = Object.entries(benchmarks).map(([each, { words }]) => `  ${each.padEnd(10)} ${words}`);
  const usage = `usage: npm run bench -- NAME [options]\n\n${lines.join('\n')}\n\nEach has --help.\n`;
  const asked = name === '--help' || name === '-h';
  (asked ? process.stdout : process.stderr).write(asked ? usage : `bench: there is no ${name}\n${usage}`);
  process.exitCode = asked ? 0 : 2;
}
