import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** Joins a source's connections to a destination's socket, one to one: the agents' place, with nothing in between. */
export interface Relay extends AsyncDisposable {
  /** How many of the source's connections have reached a clean end of file. */
  ended(): number;
  /** Breaks every connection; resolves when they are broken. */
  cut(): Promise<void>;
}

/** @param to the destination's socket; undefined takes connections and never reads from them */
export async function startRelay(from: string, to: string | undefined): Promise<Relay> {
  const sockets: Socket[] = [];
  const mainIsUp = Promise.withResolvers<void>();
  let accepted = 0;
  let ended = 0;
  const join = async (source: Socket, path: string, isMain: boolean): Promise<void> => {
    // The destination takes the first connection for the main one.
    if (!isMain) await mainIsUp.promise;
    const destination = connect({ path, allowHalfOpen: true });
    sockets.push(destination);
    destination.on('error', () => source.destroy());
    destination.once('close', () => source.destroy());
    source.once('close', () => destination.destroy());
    await once(destination, 'connect');
    mainIsUp.resolve();
    destination.resume();
    source.pipe(destination);
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (source) => {
    sockets.push(source);
    source.on('error', () => {});
    source.once('end', () => ended++);
    if (to !== undefined) join(source, to, accepted++ === 0).catch(() => source.destroy());
  });
  server.listen(from);
  await once(server, 'listening');
  const cut = async (): Promise<void> => {
    const open = sockets.filter((socket) => !socket.closed);
    await Promise.all(open.map((socket) => new Promise((resolve) => socket.once('close', resolve).destroy())));
  };
  return {
    ended: () => ended,
    cut,
    [Symbol.asyncDispose]: async () => {
      await cut();
      server.close();
      await once(server, 'close');
    },
  };
}
