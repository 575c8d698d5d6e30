/**
 * The destination's end of a disk's way: takes a disk stream and does what it says to the disk, as a client of its QEMU's NBD export. Several
 * operations are under way at a time, and QEMU does them in any order: one that touches what another is still writing waits for that one.
 * What was written is flushed every second meanwhile, so that the last flush, which the VM waits for, has little to do.
 */
import { once } from 'node:events';
import net from 'node:net';
import { Framer } from './framer.ts';
import type { Applied } from './inlet.ts';
import { ask, command, decodeReply, encodeRequest, NbdError, noHole, replyBytes } from './nbd.ts';
import { drained, shake } from './sockets.ts';
import { decodeOperation, type Operation, operation, operationBytes } from './stream.ts';

export interface OutletOptions {
  /** The unix socket that the disk stream comes to: its first connection counts. */
  readonly listenPath: string;
  /** QEMU's NBD server. */
  readonly nbdPath: string;
  readonly exportName: string;
  readonly sizeBytes: number;
  /** Called at most once; everything is closed then. */
  readonly failed: (error: Error) => void;
}

/** QEMU's NBD server (7.2) looks at so many of a client's requests at a time. */
const maxUnderWay = 16;
const flushEveryMs = 1000;

export class MirrorOutlet {
  /** Resolves when the stream has ended, and all of it is done and on stable storage; never where it failed or was closed first. */
  readonly applied: Promise<Applied>;
  readonly #options: OutletOptions;
  readonly #listening = Promise.withResolvers<void>();
  readonly #server: net.Server;
  readonly #replies = new Framer(replyBytes);
  readonly #underWay = new Map<bigint, { readonly offset: number; readonly end: number }>();
  readonly #end = Promise.withResolvers<Applied>();
  #stream: net.Socket | undefined;
  #nbd: net.Socket | undefined;
  #wake = Promise.withResolvers<void>();
  #cookie = 0n;
  #writes = 0;
  #bytes = 0;
  /** Nothing was written yet: the disk was made for this, and is all holes. */
  #pristine = true;
  /** Of a flush that is under way. */
  #flush: bigint | undefined;
  /** Something was answered since the last flush began: a flush covers nothing that was still under way then. */
  #unflushed = false;
  /** It is time for a flush, and there was no place for one yet. */
  #due = false;
  /** A write's payload is still coming. */
  #sending = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: OutletOptions) {
    this.#options = options;
    this.applied = this.#end.promise;
    this.#server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (stream) => {
      this.#server.close();
      this.#stream = stream;
      stream.on('error', () => undefined); // its end is what counts
      this.#run(stream).catch((error: unknown) => this.#fail(error));
    });
    this.#server.once('listening', this.#listening.resolve).once('error', (error) => this.#fail(error));
    this.#server.listen(options.listenPath);
    this.#listening.promise.catch(() => undefined);
  }

  /** Resolves when the stream may come; rejects where it was closed first. */
  get listening(): Promise<void> {
    return this.#listening.promise;
  }

  /** Gives up what is under way. Idempotent. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#listening.reject(new Error('it was closed'));
    this.#server.close();
    this.#stream?.destroy();
    this.#nbd?.destroy();
    this.#wake.resolve();
  }

  async #run(stream: net.Socket): Promise<void> {
    const { nbdPath, exportName, sizeBytes } = this.#options;
    const nbd = net.connect(nbdPath);
    this.#nbd = nbd;
    nbd.on('error', (error) => this.#fail(error));
    nbd.on('close', () => this.#fail(new Error('QEMU closed its NBD export')));
    await once(nbd, 'connect');
    const { rest } = await shake(nbd, ask(exportName, sizeBytes));
    nbd.on('data', (chunk: Buffer) => this.#hear(chunk));
    this.#hear(rest);
    nbd.resume();
    this.#timer = setInterval(() => {
      this.#due = true;
      this.#flushSome(nbd);
    }, flushEveryMs);
    const operations = new Framer(operationBytes);
    for await (const chunk of stream) {
      for (const piece of operations.pieces(chunk)) {
        if (piece.kind === 'header') {
          const next = decodeOperation(piece.header, sizeBytes);
          if (!next) throw new Error('what came is no operation on this disk');
          this.#writes++;
          if (next.type === operation.write) operations.expect(next.length);
          if (!this.#isIdle(next)) await this.#begin(nbd, next);
        } else {
          this.#bytes += piece.bytes.length;
          await this.#send(nbd, piece.bytes);
          if (piece.done) this.#sending = false;
          if (this.#due) this.#flushSome(nbd);
        }
        if (this.#closed) return;
      }
    }
    if (!operations.isBetween) throw new Error('the stream ended within an operation');
    await this.#settle();
    this.#flushSome(nbd);
    await this.#settle();
    if (this.#closed) return;
    clearInterval(this.#timer);
    stream.end();
    this.#closed = true; // from here on QEMU may close, and is told to
    nbd.end(encodeRequest({ flags: 0, type: command.disconnect, cookie: 0n, offset: 0, length: 0 }));
    this.#end.resolve({ writes: this.#writes, bytes: this.#bytes });
  }

  /** Resolves when nothing is under way any more. */
  async #settle(): Promise<void> {
    while (this.#underWay.size > 0 && !this.#closed) await this.#wake.promise;
  }

  /** Not within an operation's payload: what is written next would be taken for more of it. */
  #flushSome(nbd: net.Socket): void {
    if (!this.#unflushed || this.#flush !== undefined || this.#sending || this.#closed) return;
    this.#unflushed = false;
    this.#due = false;
    this.#flush = ++this.#cookie;
    this.#underWay.set(this.#flush, { offset: 0, end: 0 });
    nbd.write(encodeRequest({ flags: 0, type: command.flush, cookie: this.#flush, offset: 0, length: 0 }));
  }

  /** A mirror begins by zeroing all of its target, which would fill tables for nothing. */
  #isIdle({ type, allocate }: Operation): boolean {
    if (type === operation.write || allocate) this.#pristine = false;
    return this.#pristine;
  }

  async #begin(nbd: net.Socket, { type, allocate, offset, length }: Operation): Promise<void> {
    const end = offset + length;
    while ((this.#underWay.size >= maxUnderWay || this.#touches(offset, end)) && !this.#closed) await this.#wake.promise;
    const cookie = ++this.#cookie;
    this.#underWay.set(cookie, { offset, end });
    this.#sending = type === operation.write;
    await this.#send(nbd, encodeRequest({ flags: allocate ? noHole : 0, type: commandOf(type), cookie, offset, length }));
  }

  #touches(offset: number, end: number): boolean {
    for (const other of this.#underWay.values()) if (offset < other.end && other.offset < end) return true;
    return false;
  }

  async #send(nbd: net.Socket, bytes: Buffer): Promise<void> {
    if (nbd.write(bytes) || this.#closed) return;
    await drained(nbd);
  }

  #hear(chunk: Buffer): void {
    try {
      for (const piece of this.#replies.pieces(chunk)) {
        if (piece.kind !== 'header') continue;
        const { cookie, error } = decodeReply(piece.header);
        if (!this.#underWay.delete(cookie)) throw new NbdError('an answer to nothing');
        if (cookie === this.#flush) this.#flush = undefined;
        else this.#unflushed = true;
        if (error !== 0) throw new Error(words.get(error) ?? `QEMU's NBD export answers with error ${error}`);
      }
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.close();
    this.#options.failed(error instanceof Error ? error : new Error(String(error)));
  }
}

const commandOf = (type: number): number =>
  type === operation.write ? command.write : type === operation.zero ? command.writeZeroes : command.trim;

/** NBD's errors are Linux's numbers. */
const words = new Map([
  [1, 'writing it is not permitted (EPERM)'],
  [5, 'an I/O error (EIO)'],
  [12, 'QEMU has no memory left for it (ENOMEM)'],
  [22, 'QEMU refuses a request (EINVAL)'],
  [28, 'no space is left where it is kept (ENOSPC)'],
  [108, 'the export is shutting down (ESHUTDOWN)'],
]);
