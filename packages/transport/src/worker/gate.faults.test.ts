/** Every call that two gates make into libc and OpenSSL for a hello fails once: at most that connection ends, and the channel is opened again. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { contextHash } from '../keys/context.ts';
import { helloKeys } from '../keys/schedule.ts';
import { evp } from '../native/evp.ts';
import { E, libc } from '../native/libc.ts';
import { pkey } from '../native/x25519.ts';
import { drive } from '../testing/caller.ts';
import { answering, type Fault, Faults, failing } from '../testing/faults.ts';
import { testAttempt } from '../testing/pair.ts';
import { readFrom } from '../testing/wires.ts';
import { tunables } from '../tunables.ts';
import { Gate } from './gate.ts';
import type { GateReport, HelloSession } from './messages.ts';

type Confirmed = Extract<GateReport, { kind: 'confirmed' }>;

const channels = 2;
const attempt = testAttempt({ channels });
const specKey = randomBytes(32);

function sessionOf(number: number): HelloSession {
  const context = contextHash(attempt);
  const derived = helloKeys(specKey, attempt.nonce, context);
  const keys = new SharedArrayBuffer(64);
  new Uint8Array(keys).set(Buffer.concat([derived.hello, derived.dh]));
  return { session: number, version: 1, migration: attempt.migration, attempt: 1, channels, context, keys };
}

const isConfirmed = (report: GateReport): report is Confirmed => report.kind === 'confirmed';

/** Opens two channels while one call fails. @returns the calls, and how many channels were proven at both ends */
function open(
  table: object,
  names: readonly string[],
  at = -1,
  fault?: Fault,
): { calls: readonly string[]; proven: number; reports: GateReport[] } {
  const [near, far]: [GateReport[], GateReport[]] = [[], []];
  const source = new Gate((report) => near.push(report));
  const destination = new Gate((report) => far.push(report));
  const gates = [source, destination];
  const sealed = () => near.filter(isConfirmed);
  const proven = () => far.filter(isConfirmed);
  destination.message({ kind: 'listen', addresses: [{ host: '127.0.0.1', port: 0 }] });
  const listening = far.find((report) => report.kind === 'listening');
  destination.message({ kind: 'expect', ...sessionOf(1) });
  const faults = new Faults(table, names, at, fault);
  try {
    source.message({ kind: 'dial', ...sessionOf(2), addresses: listening?.addresses ?? [], timeoutMs: 10_000 });
    drive('channels', gates, () => {
      for (const gate of gates) gate.tick(performance.now());
      if (sealed().length < channels) return false;
      // A channel that the source has proven and the destination has not is one whose connection has ended: the session finds that out.
      return sealed().every(({ channel, wire }) => proven().some((each) => each.channel === channel) || readFrom(wire) === 'ended');
    });
    return { calls: faults.calls, proven: proven().length, reports: [...near, ...far] };
  } finally {
    faults[Symbol.dispose]();
    for (const gate of gates) gate.stop();
    for (const { wire } of [...sealed(), ...proven()]) libc.close(wire);
  }
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

const faultsOf: readonly [what: string, table: object, names: readonly string[], faults: readonly Fault[]][] = [
  [
    'system call',
    libc,
    ['socket', 'connect', 'getsockopt', 'setsockopt', 'accept4', 'epoll_create1', 'epoll_ctl', 'epoll_wait', 'send', 'recv'],
    [failing(E.CONNRESET), failing(12 /* ENOMEM */)],
  ],
  [
    'call of AES-256-GCM',
    evp,
    ['newContext', 'encryptInit', 'encryptUpdate', 'encryptFinal', 'control', 'decryptInit', 'decryptUpdate', 'decryptFinal'],
    [answering(0)],
  ],
  ['call of X25519', pkey, ['fromPrivate', 'publicOf', 'fromPublic', 'newContext', 'deriveInit', 'setPeer', 'derive'], [answering(0)]],
];

describe('two gates', () => {
  const mutable = tunables as { retryMs: number }; // so that hundreds of tries take no minute
  const { retryMs } = tunables;
  before(() => {
    mutable.retryMs = 0;
  });
  after(() => {
    mutable.retryMs = retryMs;
  });

  for (const [what, table, names, faults] of faultsOf) {
    it(`lose one connection at most where a ${what} fails, at every place`, () => {
      const { calls, proven } = open(table, names);
      assert.equal(proven, channels);
      assert.deepEqual(new Set(calls), new Set(names));
      const openBefore = descriptors();
      calls.forEach((call, at) => {
        for (const fault of faults) {
          const outcome = open(table, names, at, fault);
          assert.ok(outcome.proven >= channels - 1, `${call}, call ${at}`);
          assert.ok(!outcome.reports.some(({ kind }) => kind === 'failed'), `${call}, call ${at}`);
          assert.equal(descriptors(), openBefore, `${call}, call ${at}`);
        }
      });
    });
  }
});
