/** Two transports in one process joined over loopback, with unix sockets at their ends: what a test of channels stands on. */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { protocolVersion, type Suite } from '../constants.ts';
import type { OnDemand } from '../demand.ts';
import type { TransportError } from '../errors.ts';
import type { ControlMessage } from '../heard.ts';
import type { Attempt } from '../keys/context.ts';
import type { Session } from '../session.ts';
import { Transport, type TransportOptions } from '../transport.ts';
import type { Address } from '../worker/messages.ts';

export function testAttempt(changes: Partial<Attempt> = {}): Attempt {
  return {
    protocolVersion,
    migration: randomUUID(),
    attempt: 1,
    nonce: randomBytes(8),
    suite: 'aes-256-gcm',
    sourceKeyHash: Buffer.alloc(32, 1),
    destinationKeyHash: Buffer.alloc(32, 2),
    channels: 4,
    limits: { bandwidthBytesPerSecond: 0, downtimeMs: 30, maxDowntimeMs: 300, deadlineMs: 60_000, maxThrottlePercent: 80, postcopy: false },
    expiresAt: 2_000_000_000_000,
    ...changes,
  };
}

/** What a session's handlers were told. */
export class Heard {
  readonly control: ControlMessage[] = [];
  readonly failures: TransportError[] = [];
  /** On demand: how many data channels were open, each time that changed. */
  readonly open: number[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly handlers = {
    control: (message: ControlMessage) => {
      this.control.push(message);
      this.#wake();
    },
    failed: (error: TransportError) => {
      this.failures.push(error);
      this.#wake();
    },
    channels: (open: number) => {
      this.open.push(open);
      this.#wake();
    },
  };

  /** Resolves once the condition holds. */
  async until(condition: (heard: this) => boolean): Promise<void> {
    while (!condition(this)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

export interface Pair extends AsyncDisposable {
  readonly directory: string;
  readonly source: Session;
  readonly destination: Session;
  readonly sourceHeard: Heard;
  readonly destinationHeard: Heard;
  /** The source's local streams, as QEMU would open them: channel 1 first. */
  connectStreams(count: number): Promise<net.Socket[]>;
  /** The destination's local streams, in the order in which they were opened. */
  readonly arrived: net.Socket[];
  arrivedStreams(count: number): Promise<net.Socket[]>;
}

export interface PairOptions {
  readonly suite?: Suite;
  readonly channels?: number;
  readonly disks?: number;
  readonly limits?: Partial<Attempt['limits']>;
  readonly transport?: TransportOptions;
  readonly onDemand?: OnDemand;
  /** The source's and the destination's, which then outlive the pair; by default it makes its own. */
  readonly transports?: readonly [source: Transport, destination: Transport];
  /** The destination's addresses; ports are chosen by the kernel. */
  readonly hosts?: readonly string[];
  /** Turns where the destination listens into where the source connects: for a proxy in between. */
  readonly between?: (address: Address) => Promise<Address>;
}

export async function openPair(options: PairOptions = {}): Promise<Pair> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'sealift-pair-'));
  const make = () => new Transport({ threads: 2, ...options.transport });
  const transports = options.transports ?? ([make(), make()] as const);
  const sessions: Session[] = [];
  const arrived: net.Socket[] = [];
  const opened: net.Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    arrived.push(socket);
    server.emit('arrived');
  });
  const close = async () => {
    await Promise.all(sessions.map((session) => session.drop()));
    if (!options.transports) await Promise.all(transports.map((transport) => transport.close()));
    const sockets = [...arrived, ...opened].filter((socket) => !socket.closed);
    await Promise.all(sockets.map((socket) => once(socket.destroy(), 'close')));
    if (server.listening) await once(server.close(), 'close');
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const plain = testAttempt({ suite: options.suite ?? 'aes-256-gcm', channels: options.channels ?? 4, disks: options.disks ?? 0 });
    const attempt = { ...plain, limits: { ...plain.limits, ...options.limits } };
    const key = randomBytes(32);
    const sourceKey = Buffer.from(key);
    const sourceHeard = new Heard();
    const destinationHeard = new Heard();
    server.listen(path.join(directory, 'in'));
    await once(server, 'listening');
    const { session: destination, addresses } = await transports[1].accept(
      attempt,
      key,
      (options.hosts ?? ['127.0.0.1']).map((host) => ({ host, port: 0 })),
      destinationHeard.handlers,
      options.onDemand,
    );
    sessions.push(destination);
    destination.connectLocal(path.join(directory, 'in'));
    const targets: Address[] = [];
    for (const address of addresses) targets.push(options.between ? await options.between(address) : address);
    const source = transports[0].connect(attempt, sourceKey, targets, sourceHeard.handlers, options.onDemand !== undefined);
    sessions.push(source);
    await source.listenLocal(path.join(directory, 'out'));
    return {
      directory,
      source,
      destination,
      sourceHeard,
      destinationHeard,
      arrived,
      connectStreams: async (count) => {
        const sockets: net.Socket[] = [];
        for (let i = 0; i < count; i++) {
          const socket = net.connect({ path: path.join(directory, 'out'), allowHalfOpen: true });
          socket.on('error', () => undefined);
          opened.push(socket);
          await once(socket, 'connect');
          sockets.push(socket);
        }
        return sockets;
      },
      arrivedStreams: async (count) => {
        while (arrived.length < count) await once(server, 'arrived');
        return arrived.slice(0, count);
      },
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
