/** `taker.ts SOCKET STREAMS BYTES`: the program at the destination. Looks at every byte that comes, and says when the last stream has ended. */
import { once } from 'node:events';
import net from 'node:net';
import { nowMs, tell } from './helper.ts';
import { isRight } from './pattern.ts';

export interface Taken {
  /** Milliseconds, on the clock of all. */
  readonly taken: number;
  /** Every stream came once, with its bytes and no others. */
  readonly right: boolean;
}

process.once('disconnect', () => process.exit());
const [path = '', streams, bytes] = process.argv.slice(2);
const came = new Set<number>();
let ended = 0;
let right = true;

async function take(socket: net.Socket): Promise<void> {
  let stream = -1;
  let position = 0;
  socket.on('data', (chunk: Buffer) => {
    let rest = chunk;
    if (stream < 0) {
      stream = chunk[0] ?? 0;
      if (came.has(stream) || stream >= Number(streams)) right = false;
      came.add(stream);
      rest = chunk.subarray(1);
    }
    if (!isRight(stream, position, rest)) right = false;
    position += rest.length;
  });
  await once(socket, 'end');
  if (position !== Number(bytes)) right = false;
  socket.end();
  if (++ended === Number(streams)) await tell({ taken: nowMs(), right } satisfies Taken);
}

const server = net.createServer({ allowHalfOpen: true }, (socket) => void take(socket));
await once(server.listen(path), 'listening');
await tell({ ready: true });
