/**
 * The source's end of a disk's way: an NBD server for the one mirror of this QEMU. It answers as soon as it holds what was written, within bounds, and
 * hands that on as a disk stream: the other host's answers would take a round trip for each of the few requests that QEMU has under way at a time.
 * So what it has acknowledged is not safe anywhere yet. Nothing is lost by that: the guest's own disk has all of it until the VM is handed over, which
 * needs every operation done at the other end.
 */
import { once } from 'node:events';
import net from 'node:net';
import { Framer } from './framer.ts';
import {
  command,
  decodeRequest,
  encodeReply,
  errorInvalid,
  maxWriteBytes,
  NbdError,
  noHole,
  type Request,
  requestBytes,
  serve,
} from './nbd.ts';
import { drained, shake } from './sockets.ts';
import { encodeOperation, operation } from './stream.ts';

/** What went, or came, whole. */
export interface Applied {
  /** Operations of the disk stream. */
  readonly writes: number;
  /** Data in them. */
  readonly bytes: number;
}

export interface InletOptions {
  /** The unix socket that QEMU connects to. */
  readonly listenPath: string;
  /** The unix socket that the disk stream is written to; connected to when QEMU comes. */
  readonly outPath: string;
  readonly exportName: string;
  readonly sizeBytes: number;
  /** Acknowledged, and not yet taken by the kernel. Default: 4 MiB. */
  readonly bufferBytes?: number;
  /** Called at most once; everything is closed then. */
  readonly failed: (error: Error) => void;
}

const defaultBufferBytes = 4 * 1024 * 1024;

export class MirrorInlet {
  readonly #options: InletOptions;
  readonly #listening = Promise.withResolvers<void>();
  readonly #server: net.Server;
  readonly #framer = new Framer(requestBytes);
  #qemu: net.Socket | undefined;
  #out: net.Socket | undefined;
  #writes = 0;
  #bytes = 0;
  #movedAt = 0;
  /** Of the write whose payload is coming. */
  #cookie = 0n;
  #closed = false;

  constructor(options: InletOptions) {
    this.#options = options;
    this.#server = net.createServer({ pauseOnConnect: true }, (qemu) => {
      this.#server.close(); // it is one mirror's
      this.#qemu = qemu;
      this.#run(qemu).catch((error: unknown) => this.#fail(error));
    });
    this.#server.once('listening', this.#listening.resolve).once('error', (error) => this.#fail(error));
    this.#server.listen(options.listenPath);
    this.#listening.promise.catch(() => undefined);
  }

  /** Resolves when QEMU may connect; rejects where it was closed first. */
  get listening(): Promise<void> {
    return this.#listening.promise;
  }

  /** So far. */
  get done(): Applied {
    return { writes: this.#writes, bytes: this.#bytes };
  }

  /** For how long something has waited to be handed on without any of it moving; 0 where nothing waits. */
  get waitingMs(): number {
    return this.#out && this.#out.writableLength > 0 ? performance.now() - this.#movedAt : 0;
  }

  /**
   * QEMU's mirror has ended, so that nothing more will come. Resolves when all that came is with the channel, and its end too.
   * @throws Error where that failed
   */
  async finish(): Promise<Applied> {
    const out = this.#out;
    if (!out || this.#closed) throw new Error('the mirror has no connection');
    const finished = once(out, 'finish');
    out.end();
    await finished;
    return this.done;
  }

  /** Breaks QEMU's connection, whatever it waits for. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#listening.reject(new Error('it was closed'));
    this.#server.close();
    this.#qemu?.destroy();
    this.#out?.destroy();
  }

  async #run(qemu: net.Socket): Promise<void> {
    const { exportName, sizeBytes, outPath, bufferBytes = defaultBufferBytes } = this.#options;
    qemu.on('error', () => undefined); // its end is what counts
    const out = net.connect(outPath);
    this.#out = out;
    out.on('error', (error) => this.#fail(error));
    out.on('close', () => {
      if (!out.writableFinished) this.#fail(new Error('its channel was closed'));
    });
    await once(out, 'connect');
    out.resume(); // nothing is said there
    const { result: wanted, rest } = await shake(qemu, serve(exportName, sizeBytes));
    if (!wanted) return;
    this.#take(rest);
    for await (const chunk of qemu) {
      this.#take(chunk);
      // Whoever is not answered sends no more: that is all the back-pressure there is.
      while (out.writableLength > bufferBytes && !this.#closed) await drained(out);
    }
    if (!this.#framer.isBetween) throw new NbdError("QEMU's connection ended within a request");
  }

  #take(chunk: Buffer): void {
    const replies: Buffer[] = [];
    for (const piece of this.#framer.pieces(chunk)) {
      if (piece.kind === 'header') {
        const request = decodeRequest(piece.header);
        const reply = this.#begin(request);
        if (reply) replies.push(reply);
      } else {
        this.#bytes += piece.bytes.length;
        this.#send(piece.bytes);
        if (piece.done) replies.push(encodeReply(this.#cookie));
      }
    }
    if (replies.length > 0) this.#qemu?.write(Buffer.concat(replies));
  }

  /** @returns what it is answered with, unless its payload has to come first */
  #begin(request: Request): Buffer | undefined {
    const { type, flags, cookie, offset, length } = request;
    if (type === command.disconnect) return undefined; // the end of the stream follows
    if (type === command.flush) return encodeReply(cookie); // the destination syncs its disks as a whole
    const within = offset + length <= this.#options.sizeBytes;
    if (type === command.write) {
      if (!within || length > maxWriteBytes) throw new NbdError(`a write of ${length} bytes at ${offset}`);
      if (length === 0) return encodeReply(cookie);
      this.#operate(operation.write, false, request);
      this.#framer.expect(length);
      this.#cookie = cookie;
      return undefined;
    }
    if (type === command.writeZeroes || type === command.trim) {
      if (!within) throw new NbdError(`${length} bytes are to be zeroed at ${offset}`);
      if (length > 0) {
        const zeroes = type === command.writeZeroes;
        this.#operate(zeroes ? operation.zero : operation.discard, zeroes && (flags & noHole) !== 0, request);
      }
      return encodeReply(cookie);
    }
    // A mirror never reads its target. Whoever does would read what nobody here holds.
    return encodeReply(cookie, errorInvalid);
  }

  #operate(type: number, allocate: boolean, { offset, length }: Request): void {
    this.#writes++;
    this.#send(encodeOperation({ type, allocate, offset, length }));
  }

  #send(bytes: Buffer): void {
    if (this.#out?.writableLength === 0) this.#movedAt = performance.now();
    this.#out?.write(bytes, this.#moved);
  }

  readonly #moved = (): void => {
    this.#movedAt = performance.now();
  };

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.close();
    this.#options.failed(error instanceof Error ? error : new Error(String(error)));
  }
}
