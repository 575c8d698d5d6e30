/** No descriptor is left for who connects: the gate does not spin on them, and takes them in once there is. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { it } from 'node:test';
import { E, libc } from '../native/libc.ts';
import { Faults, failing } from '../testing/faults.ts';
import { tunables } from '../tunables.ts';
import { Gate } from './gate.ts';
import { Poller } from './loop.ts';
import type { GateReport } from './messages.ts';

/** What the gate would wait for. */
class Watched extends Poller {
  readonly fds: number[] = [];
  override add(fd: number): void {
    this.fds.push(fd);
  }
}

const watchedBy = (gate: Gate): readonly number[] => {
  const watched = new Watched();
  gate.watch(watched);
  return watched.fds;
};

for (const [name, code] of [
  ['EMFILE', E.MFILE],
  ['ENFILE', E.NFILE],
  ['ENOMEM', E.NOMEM],
] as const) {
  it(`rests for a moment at ${name}`, async () => {
    const reports: GateReport[] = [];
    const gate = new Gate((report) => reports.push(report));
    let client: net.Socket | undefined;
    try {
      gate.message({ kind: 'listen', addresses: [{ host: '127.0.0.1', port: 0 }] });
      const [report] = reports;
      assert.ok(report?.kind === 'listening');
      const [listener] = watchedBy(gate);
      assert.ok(listener !== undefined);
      client = net.connect(report.addresses[0]?.port ?? 0, '127.0.0.1');
      await once(client, 'connect');

      using faults = new Faults(libc, ['accept4'], 0, failing(code));
      gate.ready(listener);
      assert.deepEqual(faults.calls, ['accept4']);
      assert.deepEqual(watchedBy(gate), [], 'nobody is looked at');
      gate.tick(performance.now());
      assert.deepEqual(watchedBy(gate), []);
      gate.tick(performance.now() + tunables.retryMs);
      assert.deepEqual(watchedBy(gate), [listener]);
      gate.ready(listener);
      assert.equal(watchedBy(gate).length, 2, 'who waited is taken in');
    } finally {
      gate.stop();
      client?.destroy();
    }
  });
}
