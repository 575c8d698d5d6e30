/**
 * The wire in an attacker's hands:
 *
 *     source ── near ──► Wire ── far ──► destination        one Wire a TCP connection
 *                         │
 *                       attack(unit) ─► what goes on in the unit's place
 *
 * It cuts both directions into what the protocol sends (hellos by their fixed lengths, then records by the length in their header) and hands
 * each unit to a script. A direction waits for the script; the others go on.
 */
import { once as event } from 'node:events';
import net from 'node:net';
import { m1Bytes, m2Bytes, recordOverhead } from '../constants.ts';
import type { Address } from '../worker/messages.ts';
import type { Direction } from './proxy.ts';

export interface Unit {
  readonly wire: Wire;
  readonly direction: Direction;
  /** The record's; 'M1' or 'M2' for a hello. CONFIRM is the record 0x01. */
  readonly type: number | 'M1' | 'M2';
  /** The record's; -1 for a hello. */
  readonly sequence: number;
  readonly bytes: Buffer;
}

/** @returns what is sent in the unit's place; the unit itself where that is `undefined` */
export type Attack = (unit: Unit, attacker: Attacker) => Uint8Array | undefined | Promise<Uint8Array | undefined>;

const opposite = (direction: Direction): Direction => (direction === 'to source' ? 'to destination' : 'to source');

export class Attacker implements AsyncDisposable {
  /** Every connection of the source's, in the order of their arrival. */
  readonly wires: Wire[] = [];
  readonly #target: Address;
  readonly #attack: Attack;
  readonly #server = net.createServer({ allowHalfOpen: true }, (near) => this.#join(near));
  readonly #own = new Set<net.Socket>();
  /** What scripts have thrown. */
  readonly #problems: unknown[] = [];

  private constructor(target: Address, attack: Attack) {
    this.#target = target;
    this.#attack = attack;
  }

  /** @param target where the destination listens */
  static async open(target: Address, attack: Attack): Promise<Attacker> {
    const attacker = new Attacker(target, attack);
    await event(attacker.#server.listen(0, '127.0.0.1'), 'listening');
    return attacker;
  }

  /** Where the source is to connect. */
  get address(): Address {
    const bound = this.#server.address();
    if (bound === null || typeof bound === 'string') throw new Error('not a TCP address');
    return { host: '127.0.0.1', port: bound.port };
  }

  /** The last connection of a channel so far. */
  wireOf(channel: number): Wire | undefined {
    return this.wires.findLast((wire) => wire.channel === channel);
  }

  /** Connects to the destination as a stranger. Such a connection is closed with the attacker. */
  async connect(): Promise<net.Socket> {
    const socket = net.connect({ ...this.#target, allowHalfOpen: true });
    this.#own.add(socket);
    socket.on('error', () => undefined).on('close', () => this.#own.delete(socket));
    await event(socket, 'connect');
    return socket;
  }

  /** @throws what a script has thrown; the connection that it was for was broken then */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = event(this.#server.close(), 'close');
    for (const socket of this.#own) socket.destroy();
    for (const wire of this.wires) wire.cut();
    await closed;
    if (this.#problems.length > 0) throw new AggregateError(this.#problems, 'an attack went wrong');
  }

  #join(near: net.Socket): void {
    const far = net.connect({ ...this.#target, allowHalfOpen: true });
    const attack = async (unit: Unit) => {
      try {
        return await this.#attack(unit, this);
      } catch (error) {
        this.#problems.push(error);
        throw error;
      }
    };
    this.wires.push(new Wire(near, far, attack));
  }
}

/** One connection of the source's, and the one that goes on to the destination. */
export class Wire {
  /** As M1 says; -1 before. */
  channel = -1;
  /** What came from each side, before the attack, as far as it is in whole units. */
  readonly came: Readonly<Record<Direction, Unit[]>> = { 'to destination': [], 'to source': [] };
  readonly closed: Promise<void>;
  readonly #sockets: Readonly<Record<Direction, net.Socket>>;
  readonly #attack: (unit: Unit) => ReturnType<Attack>;

  constructor(near: net.Socket, far: net.Socket, attack: (unit: Unit) => ReturnType<Attack>) {
    this.#attack = attack;
    this.#sockets = { 'to destination': far, 'to source': near };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    for (const socket of [near, far]) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.cut();
        resolve();
      });
    }
    void this.#carry('to destination');
    void this.#carry('to source');
  }

  /** Puts bytes between two units. */
  send(direction: Direction, bytes: Uint8Array): void {
    const socket = this.#sockets[direction];
    if (socket.writable) socket.write(bytes);
  }

  /** The end of a direction's stream; what follows in it is thrown away. */
  finish(direction: Direction): void {
    this.#sockets[direction].end();
  }

  /** Breaks the connection on both sides. */
  cut(): void {
    for (const socket of Object.values(this.#sockets)) socket.destroy();
  }

  /** Lets a direction wait until the connection ends by itself. */
  async stall(): Promise<Uint8Array> {
    await this.closed;
    return Buffer.alloc(0);
  }

  async #carry(direction: Direction): Promise<void> {
    const from = this.#sockets[opposite(direction)];
    const to = this.#sockets[direction];
    let rest = Buffer.alloc(0);
    try {
      // By itself the iterator would destroy the socket at the end of this direction, and the other with it.
      for await (const chunk of from.iterator({ destroyOnReturn: false })) {
        rest = Buffer.concat([rest, chunk]);
        for (let unit = this.#first(direction, rest); unit; unit = this.#first(direction, rest)) {
          rest = rest.subarray(unit.bytes.length);
          if (unit.type === 'M1') this.channel = unit.bytes.readUInt16BE(21);
          this.came[direction].push(unit);
          const bytes = (await this.#attack(unit)) ?? unit.bytes;
          if (bytes.length > 0 && to.writable && !to.write(bytes)) await Promise.race([event(to, 'drain'), this.closed]);
        }
      }
      if (to.writable) to.end(rest);
    } catch {
      this.cut(); // it broke on one side, so it breaks on the other
    }
  }

  /** The unit that the bytes begin with, if they hold all of it. */
  #first(direction: Direction, bytes: Buffer): Unit | undefined {
    const hello = this.came[direction].length === 0;
    const overhead = hello ? (direction === 'to destination' ? m1Bytes : m2Bytes) : recordOverhead;
    if (bytes.length < overhead) return undefined;
    const whole = hello ? overhead : overhead + bytes.readUInt32BE(4);
    if (bytes.length < whole) return undefined;
    const type = hello ? (direction === 'to destination' ? 'M1' : 'M2') : bytes.readUInt8(0);
    const sequence = hello ? -1 : Number(bytes.readBigUInt64BE(8));
    return { wire: this, direction, type, sequence, bytes: bytes.subarray(0, whole) };
  }
}
