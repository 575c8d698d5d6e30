/** `giver.ts SOCKET STREAMS BYTES`: the program at the source, as QEMU would be. Opens its streams at once and writes as fast as they take it. */
import { once } from 'node:events';
import net from 'node:net';
import { nowMs, tell, told } from './helper.ts';
import { piece, pieceBytes } from './pattern.ts';

process.once('disconnect', () => process.exit());
const [path = '', streams, bytes] = process.argv.slice(2);

async function give(socket: net.Socket, stream: number): Promise<void> {
  // Which one it is; they may arrive in any order.
  socket.write(Buffer.of(stream));
  for (let sent = 0; sent < Number(bytes); ) {
    const next = piece(stream, sent, Math.min(pieceBytes, Number(bytes) - sent));
    sent += next.length;
    if (!socket.write(next)) await once(socket, 'drain');
  }
  socket.end();
}

await tell({ ready: true });
await told();
await tell({ began: nowMs() });
const sockets = Array.from({ length: Number(streams) }, () => net.connect({ path, allowHalfOpen: true }));
await Promise.all(sockets.map((socket) => once(socket.resume(), 'connect')));
await Promise.all(sockets.map(give));
await Promise.all(sockets.map((socket) => once(socket, 'close')));
process.disconnect();
