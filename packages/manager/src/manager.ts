/** Puts the manager together: store, hosts, VMs, migrations, and the API on top. */
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { Hosts } from './agents/hosts.ts';
import type { Identity } from './agents/identity.ts';
import { handlersOf } from './api/handlers.ts';
import { createServer } from './api/server.ts';
import { Migrations } from './migrations/migrations.ts';
import { Resolutions } from './migrations/resolutions.ts';
import { codeOf, reasonOf, StartupError } from './startup/error.ts';
import type { ListenAddress } from './startup/listen.ts';
import { clearStaleSocket } from './startup/socket.ts';
import { openSqlite } from './store/sqlite.ts';
import type { Store } from './store/store.ts';
import { Vms } from './vms/vms.ts';

const defaultPollMs = 3_000;

export interface ManagerOptions {
  /** A directory of the manager's own; made if it is not there. */
  readonly state: string;
  /** Path of the unix socket that the API is served on. */
  readonly socket: string;
  /** A loopback address; port 0 takes any that is free. */
  readonly listen: ListenAddress;
  readonly identity: Identity;
  readonly log: Logger;
  /** How often each host is asked how it is, ms. */
  readonly pollMs?: number;
}

export interface Manager {
  /** Origin of the API on TCP. */
  readonly url: string;
  /** Stops serving and following. Nothing that is under way at the agents is touched. */
  close(): Promise<void>;
}

/** @throws StartupError with nothing left behind */
export async function startManager(options: ManagerOptions): Promise<Manager> {
  const { log, listen, socket } = options;
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }; // our own file
  const undo: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const store = await openStore(options.state);
    undo.push(() => store.close());
    const resolutions = new Resolutions(store, log);
    const hosts = new Hosts(store, options.identity, log, options.pollMs ?? defaultPollMs, resolutions);
    const migrations = new Migrations(store, hosts, resolutions, log);
    const vms = new Vms(store, hosts, resolutions, log);
    const handlers = handlersOf({ hosts, vms, migrations, version });

    const onTcp = await createServer({ handlers, log, version, guardOrigin: true });
    undo.push(() => onTcp.close());
    const onSocket = await createServer({ handlers, log, version, guardOrigin: false });
    undo.push(() => onSocket.close());
    // The places are taken before any migration is taken up again: a second manager on the same state stops here.
    const url = await listenOnTcp(onTcp, listen);
    await listenOnSocket(onSocket, socket);
    undo.push(async () => {
      const followed = migrations.close();
      await hosts.close(); // ends the calls that following may be waiting for
      await followed;
    });
    await resolutions.open();
    await hosts.open();
    await migrations.resume();
    return { url, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openStore(directory: string): Promise<Store> {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return await openSqlite(join(directory, 'manager.db'));
  } catch (error) {
    throw new StartupError(`the state directory ${directory} (--state) cannot be used: ${reasonOf(error)}`);
  }
}

async function listenOnTcp(server: FastifyInstance, { host, port }: ListenAddress): Promise<string> {
  try {
    return await server.listen({ host, port });
  } catch (error) {
    const taken = codeOf(error) === 'EADDRINUSE';
    const why = taken ? 'the port is taken, perhaps by another manager; stop it, or choose another with --listen' : reasonOf(error);
    throw new StartupError(`${host}:${port} cannot be listened on: ${why}`);
  }
}

async function listenOnSocket(server: FastifyInstance, path: string): Promise<void> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    await clearStaleSocket(path);
    await server.listen({ path });
    chmodSync(path, 0o600);
  } catch (error) {
    if (error instanceof StartupError) throw error;
    throw new StartupError(`the socket ${path} (--socket) cannot be made: ${reasonOf(error)}`);
  }
}
