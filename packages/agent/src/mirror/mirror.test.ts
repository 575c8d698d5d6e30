import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { clearMirrors, queryRunState } from '@sealift/hypervisor';
import { Mirrored } from '../testing/mirrored.ts';

const allocated = (file: string): number => statSync(file).blocks * 512;

describe('a disk mirrored between two QEMUs', () => {
  for (const format of ['raw', 'qcow2'] as const) {
    it(`is the same at both ends, and as thin, while its guest goes on writing (${format})`, async () => {
      await using mirrored = await Mirrored.start({ sizeMiB: 256, format });
      // Patches all over it, zeroes, and what was written and given back.
      for (let i = 0; i < 24; i++) await mirrored.guest(`write -P ${i + 1} ${i * 10}M ${64 + 17 * i}k`);
      await mirrored.guest('write -z 40M 1M');
      await mirrored.guest('discard 60M 1M');
      await mirrored.begin();
      for (let i = 0; i < 40; i++) await mirrored.guest(`write -P ${200 - i} ${(i * 37) % 250}M ${4 * (1 + (i % 7))}k`);
      await mirrored.until('ready');
      for (let i = 0; i < 40; i++) await mirrored.guest(`write -P ${100 + i} ${(i * 53) % 200}M 12k`);
      await mirrored.guest('write -z 100M 2M');
      await mirrored.guest('discard 120M 3M');
      const { sent, done } = await mirrored.end();
      assert.ok(sent > 0);
      assert.equal(done, sent);
      assert.deepEqual(mirrored.failures, []);
      await mirrored.quit();
      execFileSync('qemu-img', ['compare', '-f', format, '-F', format, mirrored.source, mirrored.destination]);
      const [from, to] = [allocated(mirrored.source), allocated(mirrored.destination)];
      assert.ok(to <= from * 1.02 + 256 * 1024, `${from} bytes became ${to}`);
    });
  }

  it('lets QEMU go at once where nobody takes what it writes', async () => {
    await using mirrored = await Mirrored.start({ sizeMiB: 64, format: 'raw' });
    await mirrored.guest('write -P 1 0 64M');
    const held: net.Socket[] = [];
    const path = join(mirrored.directory, 'held');
    const holding = net.createServer({ pauseOnConnect: true }, (socket) => held.push(socket)).listen(path);
    await once(holding, 'listening');
    try {
      await mirrored.begin(path);
      while (mirrored.inlet.waitingMs < 50) await mirrored.guest('read 0 4k');
      mirrored.inlet.close();
      await clearMirrors(mirrored.sourceMonitor);
      assert.equal(await queryRunState(mirrored.sourceMonitor), 'prelaunch');
      await mirrored.guest('write -P 2 0 64k');
      assert.ok(mirrored.events.some((event) => event.type === 'ended' && event.error !== undefined));
    } finally {
      for (const socket of held) socket.destroy();
      holding.close();
    }
  });
});
