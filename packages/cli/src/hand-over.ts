/** The daemons, the tunnel and the lab are other packages' commands: named here, loaded only when used, so that the rest starts without them. */
import type { Command } from 'commander';

export const handOvers = {
  manager: {
    description: 'run the control plane',
    load: async (): Promise<Command> => (await import('@sealift/manager/main')).managerCommand(),
  },
  agent: {
    description: "run this host's daemon",
    load: async (): Promise<Command> => (await import('@sealift/agent/main')).agentCommand(),
  },
  tunnel: {
    description: 'unix sockets on two hosts joined by sealed channels, without a manager',
    load: async (): Promise<Command> => (await import('@sealift/transport/main')).tunnelCommand(),
  },
  lab: {
    description: 'hosts as network namespaces on this machine, to try and measure with',
    load: async (): Promise<Command> => (await import('@sealift/lab/main')).labCommand(),
  },
} as const;

export type HandOver = keyof typeof handOvers;

export const isHandOver = (name: string | undefined): name is HandOver => name !== undefined && Object.hasOwn(handOvers, name);

/** Runs another package's command with everything behind its name. */
export async function handOver(name: HandOver, args: readonly string[]): Promise<void> {
  const command = await handOvers[name].load();
  exitByException(command);
  command.name(`sealift ${name}`);
  await command.parseAsync(args, { from: 'user' });
}

/** commander ends the process by itself otherwise, with a status of its own. */
function exitByException(command: Command): void {
  command.exitOverride();
  for (const part of command.commands) exitByException(part);
}
