/** epoll(7): waiting for many descriptors costs what those cost that are ready, where poll(2) costs what all cost. */
import { TransportError } from '../errors.ts';
import { own } from './descriptors.ts';
import { errno, libc } from './libc.ts';
import { allocate, freeMemory, type Memory, nameOf } from './memory.ts';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL = { ADD: 1, DEL: 2, MOD: 3 } as const;

/** struct epoll_event is packed on x86-64 and nowhere else. */
const eventBytes = process.arch === 'x64' ? 12 : 16;
const dataAt = eventBytes - 8;
/** More that are ready are told by the next {@link Epoll.ready}. */
const mostAtOnce = 256;

/** A set of descriptors that is a descriptor itself, readable when one of them is ready. One that is closed leaves the set by itself. */
export class Epoll {
  readonly fd: number;
  readonly #memory: Memory;
  readonly #view: DataView;

  /** @throws TransportError `local` where this process or host has no descriptor or memory left */
  constructor() {
    // One more, to say what to watch by.
    this.#memory = allocate(eventBytes * (mostAtOnce + 1));
    this.#view = new DataView(this.#memory.bytes.buffer);
    this.fd = own(libc.epoll_create1(EPOLL_CLOEXEC));
    if (this.fd >= 0) return;
    const code = errno();
    freeMemory(this.#memory);
    throw new TransportError('local', `epoll_create1: ${nameOf(code)}`);
  }

  /** @param events poll(2)'s POLLIN and POLLOUT, which are epoll's too. @throws TransportError `local` */
  add(fd: number, events: number): void {
    this.#control(EPOLL_CTL.ADD, fd, events);
  }

  /** @throws TransportError `local` */
  change(fd: number, events: number): void {
    this.#control(EPOLL_CTL.MOD, fd, events);
  }

  /** For one that stays open. @throws TransportError `local` */
  remove(fd: number): void {
    this.#control(EPOLL_CTL.DEL, fd, 0);
  }

  /** Those that are ready now. @param timeoutMs to wait for one */
  *ready(timeoutMs = 0): Generator<number> {
    const count = libc.epoll_wait(this.fd, this.#memory.address, mostAtOnce, timeoutMs);
    for (let i = 0; i < count; i++) yield this.#view.getInt32(i * eventBytes + dataAt, true);
  }

  close(): void {
    libc.close(this.fd);
    freeMemory(this.#memory);
  }

  #control(operation: number, fd: number, events: number): void {
    const at = eventBytes * mostAtOnce;
    this.#view.setUint32(at, events, true);
    this.#view.setInt32(at + dataAt, fd, true);
    if (libc.epoll_ctl(this.fd, operation, fd, this.#memory.address + at) !== 0) {
      throw new TransportError('local', `epoll_ctl: ${nameOf(errno())}`);
    }
  }
}
