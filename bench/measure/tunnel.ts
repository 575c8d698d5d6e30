/** `sealift tunnel send` and `receive` as two processes, joined over loopback. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Suite } from '../../packages/transport/src/constants.ts';
import { makeSpec } from '../../packages/transport/src/tunnel/spec.ts';
import { Started } from './processes.ts';

const cli = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));

export interface TunnelPlan {
  readonly suite: Suite;
  /** Connections that it is to carry, at most. */
  readonly connections: number;
  /** Pump threads of each end; by default one a core. */
  readonly threads?: number;
  /** Of its own; `out.sock` appears in it. */
  readonly directory: string;
  /** Where the far program listens. */
  readonly to: string;
}

/** Both ends, ready. They go on until they are disposed of, so that what they cost can be read when everything has arrived. */
export async function startTunnel(plan: TunnelPlan, stack: AsyncDisposableStack): Promise<{ out: string; processes: Started[] }> {
  const spec = path.join(plan.directory, 'tunnel.spec');
  const out = path.join(plan.directory, 'out.sock');
  const document = makeSpec(plan.suite, plan.connections, Date.now() + 3_600_000);
  writeFileSync(spec, document, { mode: 0o600 });
  document.fill(0);
  const common = ['--spec', spec, '--suite', plan.suite, ...(plan.threads ? ['--threads', String(plan.threads)] : [])];
  const tunnel = (name: string, ...args: string[]) =>
    stack.use(new Started(name, process.execPath, ['--disable-warning=ExperimentalWarning', cli, 'tunnel', ...args, ...common]));
  const receive = tunnel('tunnel receive', 'receive', '--listen', '127.0.0.1:0', '--connect-unix', plan.to, '--may-close-early');
  const [, address = ''] = await receive.says(/listening on (\S+)/);
  const send = tunnel('tunnel send', 'send', '--listen-unix', out, '--to', address, '--idle-exit', '600');
  await send.says(/ready:/);
  return { out, processes: [send, receive] };
}
