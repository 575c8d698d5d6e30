/** Listens in the place of a unix socket, hands everything on to it, and remembers what came. */
import { once } from 'node:events';
import { rename } from 'node:fs/promises';
import net from 'node:net';

export class Tee implements AsyncDisposable {
  readonly #target: string;
  readonly #streams: Buffer[][] = [];
  readonly #ends: Promise<void>[] = [];
  readonly #sockets = new Set<net.Socket>();
  readonly #server = net.createServer({ allowHalfOpen: true }, (near) => this.#join(near));

  private constructor(target: string) {
    this.#target = target;
  }

  /** @param path where somebody listens already; who connects from now on comes here first */
  static async on(path: string): Promise<Tee> {
    const target = `${path}.q`;
    await rename(path, target);
    const tee = new Tee(target);
    await once(tee.#server.listen(path), 'listening');
    return tee;
  }

  /** What came on each connection, in their order. Resolves when nothing more can come on any. */
  async received(): Promise<Buffer[]> {
    await Promise.all(this.#ends);
    return this.#streams.map((parts) => Buffer.concat(parts));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server.close(), 'close');
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(near: net.Socket): void {
    // At once, so that the order of connections, by which QEMU knows its main stream, stays what it is.
    const far = net.connect({ path: this.#target, allowHalfOpen: true });
    const parts: Buffer[] = [];
    this.#streams.push(parts);
    this.#ends.push(new Promise((resolve) => near.once('end', resolve).once('close', () => resolve())));
    near.on('data', (part: Buffer) => parts.push(part));
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.once('close', () => this.#sockets.delete(socket));
      socket.pipe(other);
    }
    far.once('close', () => near.destroy());
  }
}
