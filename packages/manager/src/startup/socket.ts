/** Makes way for the manager's unix socket: what a dead manager left is removed, a live one's never. */
import { lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { codeOf, reasonOf, StartupError } from './error.ts';

/** @throws StartupError where somebody answers there, or where it is not a socket */
export async function clearStaleSocket(path: string): Promise<void> {
  let isSocket: boolean;
  try {
    isSocket = lstatSync(path).isSocket();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw new StartupError(`the socket ${path} cannot be made: ${reasonOf(error)}`);
  }
  if (!isSocket) throw new StartupError(`${path} is there and is not a socket; remove it, or choose another with --socket`);
  if (await answers(path)) {
    throw new StartupError(`a manager already answers on ${path}; stop it first, or choose another socket with --socket`);
  }
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once('connect', () => resolve(true));
  socket.once('error', (error) => {
    // Refused means that no process has the socket open for listening; anything else, such as a full backlog, is no proof of that.
    if (codeOf(error) === 'ECONNREFUSED' || codeOf(error) === 'ENOENT') resolve(false);
    else reject(new StartupError(`whether a manager answers on ${path} cannot be told: ${error.message}`));
  });
  return promise.finally(() => socket.destroy());
}
