/** `sealift agent`: the command line around the daemon. */
import { once } from 'node:events';
import { hardenProcess, TransportError } from '@sealift/transport';
import { Command } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import { CannotStart, unavailable } from './cannot-start.ts';
import { keylogVariable, openKeylog, warnOfKeylog } from './keylog.ts';
import { createLog } from './log.ts';
import { breakpointsVariable, checkBreakpoints, warnOfBreakpoints } from './migration/breakpoints.ts';
import { createAttempts } from './migration/index.ts';
import { checkOptions, type RawOptions } from './options.ts';
import { runAgent } from './run.ts';

export function agentCommand(): Command {
  return new Command('agent')
    .description('the daemon on each host: runs QEMU and moves VMs')
    .requiredOption('--name <name>', "this host's name; its certificate carries NAME.agent.sealift")
    .option('--state <directory>', 'definitions, logs and the journal', '/var/lib/sealift/agent')
    .option('--run <directory>', 'sockets and pidfiles', '/run/sealift/agent')
    .requiredOption('--listen <address:port>', 'where the manager reaches this agent, such as 192.0.2.10:8652')
    .requiredOption(
      '--migration-listen <address:port>',
      'where sealed channels come in, such as 192.0.2.10:8651; once for each network',
      (value: string, before: string[] | undefined) => [...(before ?? []), value],
    )
    .requiredOption('--cert <file>', "this host's certificate (PEM)")
    .requiredOption('--key <file>', 'its key (PEM)')
    .requiredOption('--ca <file>', "the authority that issued it, and the manager's (PEM)")
    .option('--accel <auto|kvm|tcg>', 'how QEMU runs guests', 'auto')
    .option('--memory <MiB>', 'memory for all VMs together (default: what the host has available)')
    .option('--qemu <path>', 'the QEMU program', 'qemu-system-x86_64')
    .option(
      '--no-seal',
      'never seal: this host must not or cannot. It takes part in clear migrations only; VMs that must be sealed neither come nor leave',
    )
    .option(
      '--adopt <name=socket>',
      'show a QEMU that sealift did not start, by its QMP socket; it is looked at and never touched. Repeatable',
      (value: string, before: string[] | undefined) => [...(before ?? []), value],
    )
    .option(
      '--pool <name=directory>',
      'a directory for disks and images, which must be there. Repeatable (default: one, "default", in the state directory)',
      (value: string, before: string[] | undefined) => [...(before ?? []), value],
    )
    .option('--unsafe', `allow what must not be done in production: ${keylogVariable}, ${breakpointsVariable}`)
    .option('--threads <number>', 'threads that seal and carry migrations (default: one for each core)')
    .action(async (raw: RawOptions) => {
      try {
        await main(raw);
      } catch (error) {
        if (!(error instanceof CannotStart)) throw error;
        process.stderr.write(`sealift agent: ${error.message}\n`);
        process.exit(unavailable);
      }
    });
}

async function main(raw: RawOptions): Promise<void> {
  harden();
  const file = process.env[keylogVariable];
  const fd = openKeylog(file, raw.unsafe === true);
  const breakpoints = checkBreakpoints(process.env[breakpointsVariable], raw.unsafe === true);
  const options = { ...checkOptions(raw), breakpoints, ...(file !== undefined && fd !== undefined && { keylog: { file, fd } }) };
  const { SEALIFT_LOG: level } = process.env;
  const log = createLog({ daemon: 'agent', host: options.name }, level);
  if (options.keylog) warnOfKeylog(options.keylog.file, log);
  if (breakpoints !== undefined) warnOfBreakpoints(breakpoints, log);
  const agent = await runAgent(options, createAttempts, packageJson.version, log);
  const signal = await Promise.race(['SIGTERM', 'SIGINT'].map((name) => once(process, name).then(() => name)));
  log.info({ signal }, 'stopping; VMs run on');
  await agent.stop();
  log.info('stopped');
  process.exit(0); // whatever else is open is of no more use
}

/** Before there is any key in this process. @throws CannotStart */
function harden(): void {
  try {
    hardenProcess();
  } catch (error) {
    if (error instanceof TransportError) throw new CannotStart(`${error.message}; start it without that restriction`, { cause: error });
    throw error;
  }
}
