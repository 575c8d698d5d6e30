/**
 * `attack-process ADDRESS PORT`: the attacker, in its own namespace (attack-wire.ts). Connections that the source means for ADDRESS:PORT come
 * in here; what a script makes of them goes on to the true ADDRESS:PORT.
 *
 * Each line of standard input is a script's name, or empty for the end of its attack, which cuts what is left of its connections. The answer is
 * `ready`, or what went wrong. In between it says `struck` for each unit that the script attacked.
 */
import { once } from 'node:events';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { run } from '../../lab/src/system/command.ts';
import { type Attack, Attacker } from '../../packages/transport/src/testing/index.ts';
import { scripts } from './attack-scripts.ts';

const [host = '', port = ''] = process.argv.slice(2);

async function attackWith(name: string): Promise<AsyncDisposable> {
  const script = scripts[name];
  if (!script) throw new Error(`no such attack: ${name}`);
  await using stack = new AsyncDisposableStack();
  /** The source's ports, in the order of its connections, which is that of the attacker's wires: loopback accepts as it is connected to. */
  const sourcePorts: number[] = [];

  const attack = script.attack(async ({ wire }, attacker) => {
    // Nothing that the kernel would send on this connection has a way any more.
    const flow = ['ipproto', 'tcp', 'sport', port, 'dport', String(sourcePorts[attacker.wires.indexOf(wire)])];
    const rule = ['pref', '5', 'iif', 'lo', ...flow, 'blackhole'];
    await run('ip', ['rule', 'add', ...rule]);
    held.defer(async () => void (await run('ip', ['rule', 'delete', ...rule])));
  });
  const counted: Attack = (unit, attacker) => {
    const result = attack(unit, attacker);
    if (result !== undefined) console.log('struck');
    return result;
  };
  const attacker = stack.use(await Attacker.open({ host, port: Number(port) }, counted));

  // The attacker listens on loopback, so what comes is handed on to there.
  const sockets = new Set<net.Socket>();
  const doorway = net.createServer({ allowHalfOpen: true }, (near) => {
    sourcePorts.push(near.remotePort ?? 0);
    const far = net.connect({ ...attacker.address, allowHalfOpen: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      // Broken on one side is broken on the other; the end of one direction leaves the other be.
      from.on('error', () => to.destroy()).on('close', () => sockets.delete(from));
    }
  });
  stack.defer(async () => {
    const closed = once(doorway.close(), 'close');
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  await once(doorway.listen(Number(port), host), 'listening');
  const held = stack.move();
  return held;
}

let current: AsyncDisposable | undefined;
for await (const name of createInterface({ input: process.stdin })) {
  try {
    const last = current;
    current = undefined;
    await last?.[Symbol.asyncDispose]();
    if (name !== '') current = await attackWith(name);
    console.log('ready');
  } catch (error) {
    console.log(String(error).replaceAll('\n', ' '));
  }
}
await current?.[Symbol.asyncDispose]();
