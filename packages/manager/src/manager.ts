/** The manager as it is started and stopped: its database, its services, and the places where its API is served. */
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Identity } from './agents/identity.ts';
import { handlersOf } from './api/handlers.ts';
import { createServer } from './api/server.ts';
import { Metrics } from './metrics/metrics.ts';
import { assemble, type Tuning } from './services.ts';
import { codeOf, reasonOf, StartupError } from './startup/error.ts';
import type { ListenAddress } from './startup/listen.ts';
import { clearStaleSocket } from './startup/socket.ts';
import { openSqlite } from './store/sqlite.ts';
import type { Store } from './store/store.ts';

export interface ManagerOptions extends Tuning {
  /** A directory of the manager's own; made if it is not there. */
  readonly state: string;
  /** Path of the unix socket that the API is served on. */
  readonly socket: string;
  /** A loopback address; port 0 takes any that is free. */
  readonly listen: ListenAddress;
  readonly identity: Identity;
  readonly log: Logger;
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
    const running = assemble(store, options.identity, log, options);
    const metrics = new Metrics({ ...running.services, version, log });
    const handlers = handlersOf({ ...running.services, metrics, version });

    const onTcp = await createServer({ handlers, metrics, log, version, guardOrigin: true });
    undo.push(() => onTcp.close());
    const onSocket = await createServer({ handlers, metrics, log, version, guardOrigin: false });
    undo.push(() => onSocket.close());
    // The places are taken before any migration is taken up again: a second manager on the same state stops here.
    const url = await listenOnTcp(onTcp, listen);
    await listenOnSocket(onSocket, socket);
    undo.push(() => running.close());
    await running.open();
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
