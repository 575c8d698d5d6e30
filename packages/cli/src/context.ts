/** What every command is given, made from the global options. */
import type { Command } from 'commander';
import { findManager, type ManagerAddress } from './manager/address.ts';
import { connect, type Manager } from './manager/connect.ts';
import { createIo, type Io } from './output/io.ts';

export interface Context {
  readonly io: Io;
  readonly address: ManagerAddress;
  readonly manager: Manager;
}

type GlobalOptions = { json?: boolean; manager?: string };

/** Runs a command's work with a client, and closes the client's connections however the work ends. */
export async function withManager(command: Command, work: (context: Context) => Promise<void>): Promise<void> {
  const { json = false, manager: option } = command.optsWithGlobals<GlobalOptions>();
  const address = findManager(option, process.env['SEALIFT_MANAGER']);
  await using manager = await connect(address);
  await work({ io: createIo(json), address, manager });
}
