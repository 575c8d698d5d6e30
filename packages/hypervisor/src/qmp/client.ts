import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { encodeCommand, isRecord, type QemuVersion, QmpDecoder, type QmpMessage } from './codec.ts';
import { QmpError } from './error.ts';
import { limited } from './limit.ts';
import type { Monitor } from './monitor.ts';
import {
  DEFAULT_DEADLINE_MS,
  type ExecuteInput,
  type ExecuteOptions,
  type QmpCommand,
  type QmpCommands,
  type QmpEvent,
} from './vocabulary.ts';

export interface QmpClientOptions extends ExecuteOptions {
  /** Hears events from the first one on; listeners added after the connection may miss those that came with the greeting. */
  readonly onEvent?: (event: QmpEvent) => void;
  /** Hears of lines that are not QMP. They do not end the conversation. */
  readonly onGarbage?: (reason: string) => void;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: QmpError) => void;
}

/** A {@link Monitor} over a byte stream: a unix socket of QEMU's, or its standard input and output. */
export class QmpClient implements Monitor {
  readonly closed: Promise<QmpError>;
  readonly #peer: string;
  readonly #stream: Duplex;
  readonly #decoder = new QmpDecoder();
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #onGarbage: ((reason: string) => void) | undefined;
  readonly #greeting = Promise.withResolvers<QemuVersion>();
  readonly #resolveClosed: (error: QmpError) => void;
  #version: QemuVersion = { major: 0, minor: 0, micro: 0, package: '' };
  #nextId = 1;
  #end: QmpError | undefined;

  /**
   * @param path QEMU's unix socket
   * @param options `deadlineMs` and `signal` hold for connecting and the handshake together
   * @throws QmpError `disconnected` where nothing listens, `timeout` where something else already talks on that socket (QEMU serves one client a socket), `protocol`
   */
  static async connect(path: string, options: QmpClientOptions = {}): Promise<QmpClient> {
    const socket = connect(path);
    await connected(socket, path, options);
    return QmpClient.over(socket, path, options);
  }

  /** The same over a stream that is already there, which then belongs to the client. @param peer its name in messages */
  static async over(stream: Duplex, peer: string, options: QmpClientOptions = {}): Promise<QmpClient> {
    const client = new QmpClient(stream, peer, options);
    try {
      await client.#handshake(options);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  private constructor(stream: Duplex, peer: string, options: QmpClientOptions) {
    const { promise, resolve } = Promise.withResolvers<QmpError>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    this.#greeting.promise.catch(() => {}); // nobody waits for it any more once the handshake has timed out
    this.#peer = peer;
    this.#stream = stream;
    this.#onGarbage = options.onGarbage;
    if (options.onEvent) this.#listeners.add(options.onEvent);
    stream.on('data', (bytes: Uint8Array) => this.#receive(bytes, process.hrtime.bigint()));
    stream.on('error', (cause: Error) => this.#finish(new QmpError('disconnected', `the connection to QEMU at ${peer} broke`, { cause })));
    stream.on('end', () => this.#finish(new QmpError('disconnected', `QEMU at ${peer} closed the connection`)));
    stream.on('close', () => this.#finish(new QmpError('disconnected', `the connection to QEMU at ${peer} is closed`)));
  }

  get version(): QemuVersion {
    return this.#version;
  }

  async execute<C extends QmpCommand>(command: C, ...[args, options]: ExecuteInput<C>): Promise<QmpCommands[C]['return']> {
    // QEMU's schema, which the vocabulary transcribes, vouches for the shape.
    return (await this.#send(command, args, options ?? {})) as QmpCommands[C]['return'];
  }

  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#finish(new QmpError('disconnected', `the connection to QEMU at ${this.#peer} was closed on this side`));
  }

  async #handshake(options: ExecuteOptions): Promise<void> {
    const started = performance.now();
    const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#version = await limited(
      this.#greeting,
      options,
      `the greeting of QEMU at ${this.#peer}`,
      'it hangs, or another client holds this socket',
    );
    const left = Math.max(1, deadlineMs - (performance.now() - started));
    await this.#send('qmp_capabilities', undefined, { ...options, deadlineMs: left });
  }

  async #send(command: string, args: object | undefined, options: ExecuteOptions): Promise<unknown> {
    if (this.#end) throw this.#end;
    if (options.signal?.aborted)
      throw new QmpError('aborted', `${command} was given up before it was sent`, { cause: options.signal.reason });
    const id = this.#nextId++;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, { command, resolve: answer.resolve, reject: answer.reject });
    this.#stream.write(encodeCommand(id, command, args));
    try {
      return await limited(answer, options, `the answer of QEMU at ${this.#peer} to ${command}`);
    } finally {
      this.#pending.delete(id); // a late answer is dropped
    }
  }

  #receive(bytes: Uint8Array, receivedAt: bigint): void {
    for (const message of this.#decoder.push(bytes)) this.#take(message, receivedAt);
  }

  #take(message: QmpMessage, receivedAt: bigint): void {
    switch (message.kind) {
      case 'greeting':
        this.#greeting.resolve(message.version);
        return;
      case 'event': {
        const data = isRecord(message.data) ? message.data : {};
        const event: QmpEvent = { name: message.name, data, qemuMicroseconds: message.qemuMicroseconds, receivedAt };
        for (const listener of [...this.#listeners]) listener(event);
        return;
      }
      case 'garbage':
        this.#onGarbage?.(message.reason);
        return;
      case 'return':
      case 'error': {
        const pending = typeof message.id === 'number' ? this.#pending.get(message.id) : undefined;
        if (!pending) {
          // QEMU answers without an id where it could not read the command at all; those of timed-out commands come late.
          if (message.id === undefined && message.kind === 'error') this.#onGarbage?.(`an answer to no command: ${message.description}`);
          return;
        }
        if (message.kind === 'return') pending.resolve(message.value);
        else pending.reject(new QmpError('command', `${pending.command}: ${message.description}`, { qemuClass: message.qemuClass }));
        return;
      }
    }
  }

  #finish(error: QmpError): void {
    if (this.#end) return;
    this.#end = error;
    this.#stream.destroy();
    this.#greeting.reject(error);
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
    this.#listeners.clear();
    this.#resolveClosed(error);
  }
}

async function connected(socket: Socket, path: string, options: ExecuteOptions): Promise<void> {
  const waiting = Promise.withResolvers<void>();
  const fail = (cause: Error) => waiting.reject(new QmpError('disconnected', `no QEMU answers at ${path}: ${cause.message}`, { cause }));
  socket.once('connect', waiting.resolve).once('error', fail);
  try {
    await limited(waiting, options, `a connection to ${path}`, 'too many wait for it already');
  } catch (error) {
    socket.on('error', () => {}); // the failure is reported already
    socket.destroy();
    throw error;
  } finally {
    socket.off('error', fail);
  }
}
