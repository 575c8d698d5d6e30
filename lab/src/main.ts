#!/usr/bin/env node
/** `sealift lab`: two hosts on one machine, to play with. */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { errorCodes, SealiftError } from '@sealift/contract';
import { Command, InvalidArgumentError, Option } from 'commander';
import { guestImage } from './guest/image.ts';
import { managerClient } from './lab/api.ts';
import { bringUp, labOf, requireAbsent, requireRoot, saveLogs, takeDown } from './lab/lifecycle.ts';
import { checkId } from './lab/paths.ts';
import { recordedProcesses } from './lab/record.ts';
import { guestDefinition, guestHost, guestName } from './lab/vm.ts';
import { untilInterrupted } from './system/interrupt.ts';
import { isAlive } from './system/process.ts';
import { presentNamespaces } from './topology/build.ts';
import { namespacesOf } from './topology/plan.ts';
import { changed, cleanLine, parseChange } from './wan/conditions.ts';
import { describeLine, type Engine, engines, layLine, lineOf } from './wan/line.ts';

const say = (message: string): void => void process.stdout.write(`${message}\n`);

interface UpOptions {
  readonly id: string;
  readonly memory: number;
  readonly checker: number;
  readonly wan?: string;
  readonly wanBy?: Engine;
}

const up = async ({ id, memory, checker, wan, wanBy }: UpOptions): Promise<void> => {
  requireRoot();
  const lab = labOf(checkId(id));
  if (wanBy !== undefined && wan === undefined) throw new SealiftError('invalid_request', '--wan-by says who makes the line of --wan');
  const line = wan === undefined ? undefined : changed(cleanLine, parseChange(wan));
  await requireAbsent(lab);
  const image = await guestImage(say);
  using interrupted = untilInterrupted();
  try {
    say(`lab "${id}": hosts alpha and bravo, a manager and a client, each in a network namespace`);
    await bringUp(lab, interrupted.signal);
    if (line) {
      await layLine(lab, line, interrupted.signal, wanBy);
      say(describeLine(await lineOf(lab)));
    }
    await using manager = managerClient(lab.paths.managerSocket);
    const definition = guestDefinition(image, { memoryMiB: memory, checkerMiB: checker });
    await manager.createVm({ body: { host: 'alpha', definition } }, interrupted.signal);
    await manager.startVm({ params: { vm: guestName } }, interrupted.signal);
  } catch (error) {
    say(`Logs of the manager, the agents and the guest: ${await saveLogs(lab)}`);
    await takeDown(lab);
    throw error;
  }
  say(`The VM "${guestName}" boots on alpha; in some seconds its Redis answers at ${guestHost}. Try:

  export SEALIFT_MANAGER=unix:${lab.paths.managerSocket}
  bin/sealift vm ls
  bin/sealift vm migrate ${guestName} --to bravo
  ip netns exec ${lab.plan.client.namespace} bash      # a shell on the network of the VMs

Logs: ${lab.paths.logs}
When done: bin/sealift lab down${id === 'lab' ? '' : ` --id ${id}`}`);
};

const down = async ({ id }: { id: string }): Promise<void> => {
  requireRoot();
  await takeDown(labOf(checkId(id)));
  say(`lab "${id}": nothing of it is left`);
};

const status = async ({ id }: { id: string }): Promise<void> => {
  requireRoot();
  const { plan, paths } = labOf(checkId(id));
  const namespaces = await presentNamespaces(plan);
  if (namespaces.length === 0) return say(`lab "${id}": down`);
  say(`lab "${id}": ${namespaces.length} of ${namespacesOf(plan).length} namespaces`);
  for (const process of await recordedProcesses(paths.processes)) {
    say(`  ${process.name}: ${isAlive(process) ? `running as ${process.pid}` : 'ended'}; log ${paths.log(process.name)}`);
  }
  await using manager = managerClient(paths.managerSocket);
  for (const vm of await manager.listVms()) say(`  VM ${vm.name}: ${vm.state} on ${vm.host}`);
};

const setLine = async ({ id, conditions }: { id: string; conditions: string }): Promise<void> => {
  requireRoot();
  say(describeLine(await lineOf(labOf(checkId(id)), parseChange(conditions))));
};

const showLine = async ({ id }: { id: string }): Promise<void> => {
  requireRoot();
  say(describeLine(await lineOf(labOf(checkId(id)))));
};

const mebibytes = (text: string): number => {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('a number of MiB');
  return Number(text);
};

/** What goes wrong is said in words, and shown by the exit status; a lab's failures are no faults of whoever mounts the command. */
const explained =
  <T>(action: (options: T) => Promise<void>) =>
  async (options: T): Promise<void> => {
    try {
      await action(options);
    } catch (error) {
      process.stderr.write(`sealift lab: ${error instanceof Error ? error.message : error}\n`);
      process.exitCode = error instanceof SealiftError ? errorCodes[error.code].exit : 1;
    }
  };

/** The command, to be run alone or as a part of another. */
export const labCommand = (): Command => {
  const command = new Command('lab').description(
    'Two hosts on this machine, as network namespaces, with a VM to move between them (needs root)',
  );
  const withId = (name: string, description: string, within = command): Command =>
    within.command(name).description(description).option('--id <id>', 'one of several labs beside each other', 'lab');
  withId('up', 'Bring it up')
    .option('--memory <MiB>', "the VM's memory", mebibytes, 512)
    .option('--checker <MiB>', 'memory that a checker in the guest walks over; 0 for none', mebibytes, 16)
    .option('--wan <conditions>', 'a long line between the hosts for migrations, as rtt=50ms,rate=1gbit,loss=0.1%; see docs/wan.md')
    .addOption(new Option('--wan-by <engine>', 'who makes that line; without it, netem where the kernel has it').choices(engines))
    .action(explained(up));
  withId('down', 'Take it down, whatever state it is in').action(explained(down));
  withId('status', 'What of it is running').action(explained(status));
  const wan = command.command('wan').description('The long line of a lab that was brought up with --wan');
  withId('set', 'Change it while it carries: as in --wan, what is not named stays; down and up cut it and join it', wan)
    .argument('<conditions>', 'as loss=1%,jitter=20ms')
    .action((conditions: string, options: { id: string }) => explained(setLine)({ ...options, conditions }));
  withId('show', 'What it is like, and what it has done with packets so far', wan).action(explained(showLine));
  return command;
};

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await labCommand().parseAsync();
