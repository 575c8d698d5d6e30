/** The search itself: it finds what is there. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { expandKey, scheduleBytes, schedulesIn, search } from './scan.ts';

/** Holds two ciphers, of GCM and of counter mode, with the keys that it is told. */
const holder = `
  const { createCipheriv } = require('node:crypto');
  process.stdin.once('data', (text) => {
    const [gcm, other] = JSON.parse(text).map((key) => Buffer.from(key, 'hex'));
    globalThis.held = [createCipheriv('aes-256-gcm', gcm, Buffer.alloc(12)), createCipheriv('aes-256-ctr', other, Buffer.alloc(16)), gcm];
    console.log('held');
  });
`;

describe('the search of memory', () => {
  it('expands a key as FIPS 197 A.3 says', () => {
    const schedule = expandKey(Buffer.from('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4', 'hex'));
    assert.equal(schedule.length, scheduleBytes);
    assert.equal(schedule.toString('hex', 32, 48), '9ba354118e6925afa51a8b5f2067fcde');
    assert.equal(schedule.toString('hex', 224), 'fe4890d1e6188d0b046df344706c631e');
  });

  it('finds a schedule anywhere at a multiple of four, and none that differs in a bit', () => {
    const key = randomBytes(32);
    const noise = () => randomBytes(4 * 25);
    const memory = Buffer.concat([noise(), expandKey(key), noise(), Buffer.alloc(500)]);
    assert.deepEqual(schedulesIn(memory), [key.toString('hex')]);
    memory[100 + 239] = (memory[100 + 239] ?? 0) ^ 1;
    assert.deepEqual(schedulesIn(memory), []);
  });

  it('finds in another process a key that is there and the schedules of ciphers that live', async () => {
    const [gcmKey, otherKey] = [randomBytes(32), randomBytes(32)];
    const child = spawn(process.execPath, ['--eval', holder], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    try {
      child.stdin.write(JSON.stringify([gcmKey, otherKey].map((key) => key.toString('hex'))));
      await once(child.stdout, 'data');
      const found = search(child.pid ?? 0, { gcmKey, absent: randomBytes(32) });
      assert.ok((found.bytes['gcmKey'] ?? 0) >= 1);
      assert.equal(found.bytes['absent'], 0);
      assert.ok(found.schedules.has(gcmKey.toString('hex')) && found.schedules.has(otherKey.toString('hex')));
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  });
});
