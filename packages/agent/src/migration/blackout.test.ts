import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Blackout, momentOf } from './blackout.ts';

const ms = (count: number): bigint => BigInt(Math.round(count * 1e6));
/** Looks at both clocks at 5000 ms of the monotonic one, and again 2 ms later; it is then 900,000 ms by the wall clock. */
const looking = () => {
  const looks = [5000, 5002];
  return { monotonic: () => ms(looks.shift() ?? assert.fail()), wall: () => 900_000 };
};
/** @param stampMs by the wall clock @param receivedMs by the monotonic one */
const moment = (stampMs: number, receivedMs: number) => {
  const { earliest, latest } = momentOf({ qemuMicroseconds: stampMs * 1000, receivedAt: ms(receivedMs) }, looking());
  return [Number(earliest) / 1e6, Number(latest) / 1e6];
};

describe('when an event of QEMU happened', () => {
  it('is when it was stamped, by the clocks of this host, where this process was late', () => {
    assert.deepEqual(moment(899_960.25, 4999), [4959.25, 4962.25]);
  });

  it('is never later than it was received', () => {
    assert.deepEqual(moment(899_999.5, 4999.75), [4998.5, 4999.75]);
    assert.deepEqual(moment(900_000.5, 4999), [4999, 4999]);
  });

  it('is when it was received where the stamp says nothing: none, or from before or after the clock was set', () => {
    for (const stamp of [Number.NaN, 900_050, 900_001, 898_999, 1]) assert.deepEqual(moment(stamp, 4999), [4999, 4999]);
  });

  it('is found on this host as well', () => {
    const receivedAt = process.hrtime.bigint();
    const { earliest, latest } = momentOf({ qemuMicroseconds: Date.now() * 1000, receivedAt });
    assert.ok(earliest <= latest && latest <= receivedAt);
  });
});

describe('how long a VM stood still', () => {
  const stopped = { earliest: ms(1000), latest: ms(1001) };

  it('is at least until the grant and at most until RUNNING came', () => {
    const blackout = new Blackout();
    const before = process.hrtime.bigint();
    blackout.granted();
    const after = process.hrtime.bigint();
    blackout.ran(after + ms(10));
    const { switchOverMs, switchOverErrorMs } = blackout.lasted({ earliest: before - ms(21), latest: before - ms(20) }) ?? assert.fail();
    const taken = Number(after - before) / 1e6;
    const [least, most] = [switchOverMs - switchOverErrorMs, switchOverMs + switchOverErrorMs];
    assert.ok(least >= 19.99 && least <= 20.01 + taken, `${least}`);
    assert.ok(Math.abs(most - 31 - taken) < 0.01, `${most}`);
  });

  it('is by the first grant and the first RUNNING, whoever repeats them', () => {
    const blackout = new Blackout();
    blackout.granted();
    blackout.ran(ms(1020));
    const first = blackout.lasted(stopped);
    blackout.granted();
    blackout.ran(ms(9000));
    assert.deepEqual(blackout.lasted(stopped), first);
  });

  it('is not known without a stop, or without RUNNING', () => {
    const blackout = new Blackout();
    blackout.granted();
    assert.equal(blackout.lasted(stopped), undefined);
    blackout.ran(ms(1020));
    assert.equal(blackout.lasted(undefined), undefined);
  });
});
