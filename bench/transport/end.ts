/** A local program at one end of the pumps, in a process of its own: `end.ts source SOCKET CONNECTIONS BYTES` or `end.ts sink …`. */
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { nowMs, told } from '../flood/helper.ts';

const [role, socket = '', connections = '', bytes = ''] = process.argv.slice(2);
const total = Number(bytes);
const say = (message: object) => process.send?.(message);

/** As QEMU hands over memory: much at a time, and nothing of it twice in a row. */
async function source(): Promise<void> {
  const block = randomFillSync(Buffer.alloc(1_048_576));
  const wires = Array.from({ length: Number(connections) }, () => net.connect(socket));
  await Promise.all(wires.map((wire) => once(wire, 'connect')));
  say({ ready: true });
  await told();
  say({ begun: nowMs() });
  const share = Math.ceil(total / wires.length);
  await Promise.all(
    wires.map(async (wire, index) => {
      let left = Math.min(share, total - index * share);
      while (left > 0) {
        const part = block.subarray(0, Math.min(left, block.length));
        left -= part.length;
        if (!wire.write(part)) await once(wire, 'drain');
      }
      wire.end();
    }),
  );
}

/** Counts, and says when all has come. */
async function sink(): Promise<void> {
  let come = 0;
  const server = net.createServer({ allowHalfOpen: false }, (wire) => {
    wire.on('data', (part) => {
      come += part.length;
      if (come === total) say({ ended: nowMs() });
      if (come > total) throw new Error(`${come} bytes came, of ${total}`);
    });
  });
  await once(server.listen(socket), 'listening');
  say({ ready: true });
}

await (role === 'source' ? source() : sink());
