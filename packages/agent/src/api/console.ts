/** A VM's serial console: bytes between a WebSocket and QEMU's unix socket, with back-pressure both ways. */
import type { Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { createWebSocketStream, type WebSocket } from 'ws';

/** Ends when either side does, and closes the other. A console that breaks off is no error of anybody's. */
export async function joinConsole(serial: Socket, client: WebSocket): Promise<void> {
  const stream = createWebSocketStream(client);
  try {
    await Promise.all([pipeline(serial, stream), pipeline(stream, serial)]);
  } catch {
    // The client went away in the midst of a message, or QEMU did.
  } finally {
    serial.destroy();
    stream.destroy();
    client.close();
  }
}
