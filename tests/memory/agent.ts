/**
 * The part of an agent that has keys, as a process of its own: `agent.ts ROLE`. It is told what to do by IPC, and never sees the spec's key but
 * wrapped, as a real agent does:
 *
 *     { kind: 'offer' }                               → { kind: 'offer', publicKey }
 *     { kind: 'start', attempt, wrapped, addresses }  → { kind: 'listening', addresses } at the destination, then { kind: 'confirmed' }
 *     { kind: 'stream' }                              → { kind: 'streamed' } when bytes have gone through and come back on every channel
 *     { kind: 'end', how }                            → { kind: 'ended' } when nothing of the session is left
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {
  type Address,
  type Attempt,
  contextHash,
  hardenProcess,
  KeyUnwrapper,
  type Session,
  Transport,
} from '../../packages/transport/src/index.ts';

export type Order =
  | { readonly kind: 'offer' }
  | {
      readonly kind: 'start';
      readonly attempt: WireAttempt;
      readonly wrapped: { ephemeral: string; sealed: string };
      readonly addresses: readonly Address[];
    }
  | { readonly kind: 'stream' }
  | { readonly kind: 'end'; readonly how: 'orderly' | 'dropped' };

/** What JSON can say of an {@link Attempt}: bytes are in base64url. */
export interface WireAttempt extends Omit<Attempt, 'nonce' | 'sourceKeyHash' | 'destinationKeyHash'> {
  readonly nonce: string;
  readonly sourceKeyHash: string;
  readonly destinationKeyHash: string;
}

export type Answer =
  | { readonly kind: 'offer'; readonly publicKey: string }
  | { readonly kind: 'listening'; readonly addresses: readonly Address[] }
  | { readonly kind: 'confirmed' | 'streamed' | 'ended' };

const bytes = (text: string): Buffer => Buffer.from(text, 'base64url');

export const toAttempt = (wire: WireAttempt): Attempt => ({
  ...wire,
  nonce: bytes(wire.nonce),
  sourceKeyHash: bytes(wire.sourceKeyHash),
  destinationKeyHash: bytes(wire.destinationKeyHash),
});

class Agent {
  readonly #role: string;
  readonly #transport = new Transport({ threads: 2 });
  readonly #directory = mkdtempSync(path.join(os.tmpdir(), 'sealift-memory-'));
  readonly #streams: net.Socket[] = [];
  readonly #echo = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    this.#streams.push(socket);
    socket.pipe(socket);
  });
  #unwrapper: KeyUnwrapper | undefined;
  #session: Session | undefined;

  constructor(role: string) {
    this.#role = role;
  }

  async obey(order: Order): Promise<Answer> {
    switch (order.kind) {
      case 'offer':
        this.#unwrapper = new KeyUnwrapper();
        return { kind: 'offer', publicKey: this.#unwrapper.publicKey.toString('base64url') };
      case 'start':
        await this.#start(order);
        return { kind: 'confirmed' };
      case 'stream':
        await this.#stream();
        return { kind: 'streamed' };
      case 'end':
        await this.#end(order.how);
        return { kind: 'ended' };
    }
  }

  async close(): Promise<void> {
    await this.#transport.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #start({ attempt: wire, wrapped, addresses }: Extract<Order, { kind: 'start' }>): Promise<void> {
    const attempt = toAttempt(wire);
    const context = contextHash(attempt);
    const key = this.#unwrapper?.unwrap({ ephemeral: bytes(wrapped.ephemeral), sealed: bytes(wrapped.sealed) }, context);
    if (!key) throw new Error('no key was offered');
    const handlers = { control: () => undefined, failed: () => undefined };
    if (this.#role === 'destination') {
      const local = path.join(this.#directory, 'in');
      if (!this.#echo.listening) await once(this.#echo.listen(local), 'listening');
      const { session, addresses: bound } = await this.#transport.accept(attempt, key, addresses, handlers);
      session.connectLocal(local);
      this.#session = session;
      answer({ kind: 'listening', addresses: bound });
    } else {
      this.#session = this.#transport.connect(attempt, key, addresses, handlers);
      await this.#session.listenLocal(path.join(this.#directory, attempt.migration));
      for (let channel = 1; channel < attempt.channels; channel++) {
        const socket = net.connect({ path: path.join(this.#directory, attempt.migration), allowHalfOpen: true });
        socket.on('error', () => undefined);
        await once(socket, 'connect');
        this.#streams.push(socket);
      }
    }
    await this.#session.confirmed;
  }

  /** The source writes on every channel and waits for the echo. */
  async #stream(): Promise<void> {
    for (const socket of this.#streams) {
      let missing = 100_000;
      socket.write(Buffer.alloc(missing, 'guest memory '));
      while (missing > 0) {
        const [chunk] = await once(socket, 'data');
        missing -= chunk.length;
      }
    }
  }

  async #end(how: 'orderly' | 'dropped'): Promise<void> {
    const session = this.#session;
    if (!session) throw new Error('no session');
    if (how === 'orderly') {
      if (this.#role === 'source') for (const socket of this.#streams) socket.end().resume();
      session.close();
      await session.ended;
    }
    await session.drop();
    for (const socket of this.#streams.splice(0)) socket.destroy();
    this.#session = undefined;
  }
}

const answer = (message: Answer): void => void process.send?.(message);

// The test imports this file's types only; its process alone has a parent to answer to.
if (process.argv[1] === import.meta.filename) {
  hardenProcess();
  const agent = new Agent(process.argv[2] ?? '');
  process.on('message', (order: Order) => {
    agent.obey(order).then(answer, (error: unknown) => {
      process.stderr.write(`${error}\n`);
      process.exit(1);
    });
  });
  process.once('disconnect', () => void agent.close().then(() => process.exit(0)));
}
