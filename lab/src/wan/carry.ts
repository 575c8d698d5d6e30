/**
 * The thread that carries packets between two TAP devices, both ways. It waits in the kernel and never returns to its event loop, so that a
 * packet is late by no more than it takes to wake up; messages are looked for in between.
 */
import { setPriority } from 'node:os';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Seeded } from '../chaos/seeded.ts';
import type { Conditions } from './conditions.ts';
import { Direction, type Failures } from './direction.ts';
import { openTap, Readable, read, reserveMemory, wakeOnTime, write } from './kernel.ts';
import { type Counts, Schedule } from './schedule.ts';

export interface CarryOptions {
  readonly taps: readonly [string, string];
  readonly conditions: Conditions;
  readonly seed: number;
}

export interface CarryRequest {
  /** Without it, they stay. */
  readonly conditions?: Conditions;
}

/** The first is from the first TAP to the second. */
export type CarryAnswer = readonly { readonly counts: Counts; readonly failures: Failures }[];

/** A second of 1 Gb/s is 125 MB; twice that for small packets, and again for the longest delays. Taken from the machine only as it is used. */
const memoryBytes = 512 * 1024 ** 2;
/** Between two looks for messages. */
const deafMs = 5;

const carry = ({ taps, conditions, seed }: CarryOptions): void => {
  const port = parentPort;
  if (port === null) throw new Error('the carrying thread was started as a program');
  wakeOnTime();
  // Of this thread: before other programs of a busy machine, whose delays it would otherwise add to the line's.
  setPriority(-20);
  const [a, b] = taps.map(openTap);
  if (a === undefined || b === undefined) throw new Error('two devices make a line');
  const direction = (from: number, to: number, index: number): Direction =>
    new Direction(
      { read: (address, length) => read(from, address, length), write: (address, length) => write(to, address, length) },
      new Schedule(conditions, new Seeded(seed + index)),
      reserveMemory(memoryBytes),
    );
  const [there, back] = [direction(a, b, 0), direction(b, a, 1)];
  const apply = (to: Conditions): void => {
    const now = performance.now();
    there.change(to, now);
    back.change(to, now);
  };
  apply(conditions);
  const answer = (): void => {
    const told: CarryAnswer = [there, back].map(({ counts, failures }) => ({ counts: { ...counts }, failures: { ...failures } }));
    port.postMessage(told);
  };
  const readable = new Readable([a, b]);
  answer();

  const clock = (): number => performance.now();
  let look = 0;
  for (;;) {
    const now = clock();
    if (now >= look) {
      look = now + deafMs;
      for (let found = receiveMessageOnPort(port); found; found = receiveMessageOnPort(port)) {
        const { conditions: wanted }: CarryRequest = found.message;
        if (wanted) apply(wanted);
        answer();
      }
    }
    there.deliver(now);
    back.deliver(now);
    const more = there.accept(clock);
    if (back.accept(clock) || more) continue;
    readable.wait(Math.min(there.due, back.due, look) - clock());
  }
};

carry(workerData);
