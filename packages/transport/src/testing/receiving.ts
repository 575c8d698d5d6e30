/** A process that is the receiving end of a tunnel, so that a test can look at it from outside. Told its spec and its socket by its parent. */
import { once } from 'node:events';
import { parseSpec } from '../tunnel/spec.ts';
import { runTunnel } from '../tunnel/tunnel.ts';

/** What it says, in this order. */
export type Said = { readonly listening: string } | { readonly joined: true } | { readonly outcome: string; readonly failure: unknown };

const [told] = (await once(process, 'message')) as [{ document: string; connectUnix: string }]; // the parent sends nothing else
const stop = new AbortController();
process.once('disconnect', () => stop.abort());
const say = (said: Said) => process.connected && process.send?.(said);

const { outcome, failure } = await runTunnel({
  role: 'receive',
  spec: parseSpec(Buffer.from(told.document)),
  threads: 1,
  signal: stop.signal,
  listen: [{ host: '127.0.0.1', port: 0 }],
  connectUnix: told.connectUnix,
  eager: false,
  say: (words) => {
    const address = /^listening on (\S+)$/.exec(words)?.[1];
    say(address ? { listening: address } : { joined: true });
  },
});
say({ outcome, failure });
process.disconnect?.();
