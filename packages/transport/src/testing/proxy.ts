/** A TCP proxy between source and destination: the wire in an attacker's hands. It tells channels apart by their M1. */
import { once } from 'node:events';
import net from 'node:net';
import type { Address } from '../worker/messages.ts';

export type Direction = 'to destination' | 'to source';

/** @returns what is passed on in the chunk's place. `at` is where the chunk begins in its direction of the connection */
export type Tamper = (channel: number, direction: Direction, chunk: Buffer, at: number) => Buffer;

export class WireProxy implements AsyncDisposable {
  readonly #target: Address;
  readonly #tamper: Tamper;
  readonly #server = net.createServer({ allowHalfOpen: true }, (near) => this.#join(near));
  readonly #sockets = new Set<net.Socket>();
  readonly #ofChannel = new Map<number, net.Socket[]>();

  private constructor(target: Address, tamper: Tamper) {
    this.#target = target;
    this.#tamper = tamper;
  }

  static async open(target: Address, tamper: Tamper = (_channel, _direction, chunk) => chunk): Promise<[WireProxy, Address]> {
    const proxy = new WireProxy(target, tamper);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    const bound = proxy.#server.address();
    if (bound === null || typeof bound === 'string') throw new Error('not a TCP address');
    return [proxy, { host: '127.0.0.1', port: bound.port }];
  }

  /** Those that have come by. */
  get channels(): number[] {
    return [...this.#ofChannel.keys()];
  }

  /** Breaks a channel's connection on both sides. */
  cut(channel: number): void {
    for (const socket of this.#ofChannel.get(channel) ?? []) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server.close(), 'close');
  }

  #join(near: net.Socket): void {
    const far = net.connect({ ...this.#target, allowHalfOpen: true });
    let channel = -1;
    const pass = (from: net.Socket, to: net.Socket, direction: Direction) => {
      let at = 0;
      from.on('data', (chunk: Buffer) => {
        if (channel < 0) {
          // M1 is 87 bytes and comes in one piece over loopback; the channel is at 21.
          channel = chunk.readUInt16BE(21);
          this.#ofChannel.set(channel, [near, far]);
        }
        if (!to.write(this.#tamper(channel, direction, chunk, at))) {
          from.pause();
          to.once('drain', () => from.resume());
        }
        at += chunk.length;
      });
      from.on('end', () => to.end());
    };
    pass(near, far, 'to destination');
    pass(far, near, 'to source');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
