import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { it } from 'node:test';
import { Faults, failing } from '../testing/faults.ts';
import { unixPair, writeTo } from '../testing/wires.ts';
import { Epoll } from './epoll.ts';
import { E, libc, POLL } from './libc.ts';

it('an epoll tells which descriptors are ready for what they are watched for, until they are removed or closed', () => {
  const before = readdirSync('/proc/self/fd').length;
  const epoll = new Epoll();
  const pairs = [unixPair(), unixPair(), unixPair()] as const;
  const [[a, farOfA], [b, farOfB], [c]] = pairs;
  const ready = () => [...epoll.ready()].sort((x, y) => x - y);
  try {
    for (const [fd] of pairs) epoll.add(fd, POLL.IN);
    assert.deepEqual(ready(), []);
    for (const far of [farOfA, farOfB]) writeTo(far, Buffer.of(1));
    assert.deepEqual(ready(), [a, b]);
    epoll.change(c, POLL.IN | POLL.OUT);
    // Changing one in the middle does not disturb who comes after.
    const found: number[] = [];
    for (const fd of epoll.ready()) {
      epoll.change(fd, POLL.IN);
      found.push(fd);
    }
    assert.deepEqual(
      found.sort((x, y) => x - y),
      [a, b, c],
    );
    assert.deepEqual(ready(), [a, b]);
    epoll.remove(a);
    assert.deepEqual(ready(), [b]);
    libc.close(b);
    assert.deepEqual(ready(), []);
    assert.throws(() => epoll.add(b, POLL.IN), { code: 'local', message: /EBADF/ });
    using _ = new Faults(libc, ['epoll_create1'], 0, failing(E.MFILE));
    assert.throws(() => new Epoll(), { code: 'local', message: /EMFILE/ });
  } finally {
    epoll.close();
    for (const fd of pairs.flat()) if (fd !== b) libc.close(fd);
  }
  assert.equal(readdirSync('/proc/self/fd').length, before);
});
