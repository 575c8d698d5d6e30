import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { E, libc, POLL } from '../native/libc.ts';
import { type Fault, Faults, failing } from '../testing/faults.ts';
import { unixPair, writeTo } from '../testing/wires.ts';
import { Poller } from './loop.ts';

describe('a poller whose poll(2) fails', () => {
  for (const [name, fault] of [
    ['interrupted', failing(E.INTR)],
    ['without memory', failing(12 /* ENOMEM */)],
  ] as const satisfies readonly (readonly [string, Fault])[]) {
    it(`calls nobody, and the next time everybody who is ready: ${name}`, () => {
      const [near, far] = unixPair();
      const called: [number, number][] = [];
      const poller = new Poller();
      const wait = () => {
        poller.clear();
        poller.add(near, POLL.IN, { ready: (fd, events) => called.push([fd, events]) });
        poller.wait(0);
      };
      try {
        writeTo(far, Buffer.from('x'));
        // Leaves an answer behind that the failing call must not be taken to have given.
        wait();
        {
          using _ = new Faults(libc, ['poll'], 0, fault);
          wait();
          assert.equal(called.length, 1);
          wait();
        }
        assert.deepEqual(called, [
          [near, POLL.IN],
          [near, POLL.IN],
        ]);
      } finally {
        for (const fd of [near, far]) libc.close(fd);
      }
    });
  }
});
