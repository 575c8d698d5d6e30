/** The search itself: it finds what is there, and the captured record that a key opens. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { MiniDirection } from '../../packages/transport/src/testing/mini.ts';
import { opens } from './gcm.ts';
import { Patterns } from './patterns.ts';
import { formsOf, search } from './scan.ts';
import { expandKey, scheduleBytes, schedulesIn } from './schedule.ts';

/** Holds two ciphers, of GCM and of counter mode, with the keys that it is told, and one of them in whatever form as well. */
const holder = `
  const { createCipheriv } = require('node:crypto');
  process.stdin.once('data', (text) => {
    const [gcm, other] = JSON.parse(text).map((key) => Buffer.from(key, 'hex'));
    globalThis.held = [createCipheriv('aes-256-gcm', gcm, Buffer.alloc(12)), createCipheriv('aes-256-ctr', other, Buffer.alloc(16)), gcm];
    globalThis.texts = [Buffer.from(JSON.stringify(gcm)).toString(), JSON.stringify({ key: gcm.toString('base64url') })];
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

  for (const [layout, inMemory] of [
    ['in the bytes’ own order', expandKey],
    ['with the bytes of its words reversed', (key: Buffer) => expandKey(key).swap32()],
  ] as const) {
    it(`finds a schedule ${layout} anywhere at a multiple of four, and none that differs in a bit`, () => {
      const key = randomBytes(32);
      const noise = () => randomBytes(4 * 25);
      const memory = Buffer.concat([noise(), inMemory(key), noise(), Buffer.alloc(500)]);
      assert.deepEqual(schedulesIn(memory), [key.toString('hex')]);
      memory[100 + 239] = (memory[100 + 239] ?? 0) ^ 1;
      assert.deepEqual(schedulesIn(memory), []);
    });
  }

  it('finds each of many strings wherever it begins, and counts them', () => {
    const wanted = { seven: randomBytes(7), sixteen: randomBytes(16), absent: randomBytes(16) };
    const patterns = new Patterns(wanted);
    for (let at = 0; at < 8; at++) {
      const memory = Buffer.concat([
        Buffer.alloc(at),
        wanted.seven,
        wanted.sixteen,
        wanted.seven,
        wanted.absent.subarray(0, 15),
        Buffer.alloc(9),
      ]);
      const found: string[] = [];
      patterns.search(memory, (name) => found.push(name));
      assert.deepEqual(found, ['seven', 'sixteen', 'seven'], `at ${at}`);
    }
  });

  it('finds in another process a key that is there, in its forms, and the schedules of ciphers that live', async () => {
    const [gcmKey, otherKey] = [randomBytes(32), randomBytes(32)];
    const child = spawn(process.execPath, ['--eval', holder], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    try {
      child.stdin.write(JSON.stringify([gcmKey, otherKey].map((key) => key.toString('hex'))));
      await once(child.stdout, 'data');
      const found = search(child.pid ?? 0, { ...formsOf('key', gcmKey), absent: randomBytes(32) });
      for (const form of ['', ' in hexadecimal', ' in base64url', ' in decimal numbers']) {
        for (const part of ['beginning', 'end']) assert.ok((found.bytes[`key${form}, ${part}`] ?? 0) >= 1, `${form}, ${part}`);
      }
      assert.equal(found.bytes['absent'], 0);
      assert.ok(found.schedules.has(gcmKey.toString('hex')) && found.schedules.has(otherKey.toString('hex')));
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  });

  it('tells the key that opens a direction’s records from any other, without their IV', () => {
    const direction = new MiniDirection(randomBytes(32));
    const { key } = direction.epoch(0);
    for (const first of [0, 16, 21]) {
      direction.sequence = 0;
      const records = [direction.seal(0x01, 1, randomBytes(first)), direction.seal(0x02, 1, randomBytes(1000))];
      assert.equal(opens(key, records), true);
      assert.equal(opens(key, records.slice(0, 1)), true);
      assert.equal(opens(randomBytes(32), records), false);
      records[1]?.writeUInt8((records[1]?.readUInt8(40) ?? 0) ^ 1, 40);
      assert.equal(opens(key, records), false, 'a record that was changed');
    }
    assert.equal(opens(key, []), false);
  });
});
