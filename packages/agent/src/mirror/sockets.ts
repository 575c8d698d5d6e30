/** What both ends do with sockets. */
import type { Socket } from 'node:net';
import { type Handshake, NbdError } from './nbd.ts';

/**
 * Drives a handshake.
 *
 * @returns its result, and what came behind it; the socket is paused then
 * @throws NbdError also where the socket ends first
 */
export function shake<Result>(socket: Socket, handshake: Handshake<Result>): Promise<{ result: Result; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let held: Buffer = Buffer.alloc(0);
    let step = handshake.next();
    const stop = () => {
      socket.pause();
      socket.off('data', take).off('end', ended).off('close', ended);
    };
    const ended = () => {
      stop();
      reject(new NbdError('the connection ended in the handshake'));
    };
    const go = () => {
      try {
        while (step.done !== true) {
          if ('send' in step.value) {
            socket.write(step.value.send);
            step = handshake.next(Buffer.alloc(0));
          } else {
            const { read } = step.value;
            if (held.length < read) return;
            const bytes = held.subarray(0, read);
            held = held.subarray(read);
            step = handshake.next(bytes);
          }
        }
      } catch (error) {
        stop();
        reject(error);
        return;
      }
      stop();
      resolve({ result: step.value, rest: held });
    };
    const take = (chunk: Buffer) => {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      go();
    };
    socket.on('data', take).once('end', ended).once('close', ended);
    socket.resume();
    go();
  });
}

/** Resolves when a socket takes more, or is closed. */
export function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}
