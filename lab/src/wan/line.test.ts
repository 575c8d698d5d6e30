import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { labOf, takeDown } from '../lab/lifecycle.ts';
import { recordedProcesses } from '../lab/record.ts';
import { run } from '../system/command.ts';
import { endProcesses, isAlive } from '../system/process.ts';
import { buildTopology, presentNamespaces } from '../topology/build.ts';
import { changed, cleanLine, parseChange } from './conditions.ts';
import { describeLine, layLine, lineOf } from './line.ts';

const skip = process.getuid?.() === 0 ? false : 'network namespaces need root';

/** A lab with the line and without anything else. */
const setUp = async (t: TestContext, id: string, conditions: string) => {
  const lab = labOf(id);
  t.after(() => takeDown(lab));
  for (const folder of [lab.paths.run, lab.paths.logs]) await mkdir(folder, { recursive: true });
  await buildTopology(lab.plan);
  await layLine(lab, changed(cleanLine, parseChange(conditions)), t.signal, 'process');
  const [alpha, bravo] = lab.plan.hosts;
  assert.ok(alpha && bravo);
  const inAlpha = (script: string) => run('ip', ['netns', 'exec', alpha.namespace, 'bash', '-c', script]);
  return { lab, alpha, bravo, inAlpha };
};

/** Nobody listens on port 9: being refused is a round trip. Tells its nanoseconds, or nothing when there is no answer in time. */
const knock = (seconds: number) =>
  `from=$(date +%s%N); timeout ${seconds} bash -c ': < /dev/tcp/10.77.2.12/9' 2>/dev/null; [ $? = 124 ] || echo $(($(date +%s%N) - from))`;

test('a line delays, loses, is cut and joined while it carries; killed, it is dead and nothing of it is left', { skip }, async (t) => {
  const rootLinks = await run('ip', ['-brief', 'link']);
  const { lab, inAlpha, alpha } = await setUp(t, `w${process.pid}`, 'rtt=200ms');
  const roundTrip = async () => Number(await inAlpha(knock(60))) / 1e6;
  assert.ok((await roundTrip()) >= 400, 'an address is resolved and a connection refused, each a round trip');
  assert.ok((await roundTrip()) >= 200);
  await lineOf(lab, parseChange('rtt=300ms'));
  assert.ok((await roundTrip()) >= 300);
  for (const bad of ['loss=100%', 'loss=0%,down']) {
    const before = await lineOf(lab, parseChange(bad));
    assert.equal(await inAlpha(knock(1)), '', bad);
    const [there] = (await lineOf(lab)).directions;
    const [was] = before.directions;
    assert.ok(there && was && there.counts.offered > was.counts.offered);
    assert.equal(there.counts.carried, was.counts.carried);
  }
  assert.match(describeLine(await lineOf(lab, parseChange('up,rtt=1ms'))), /line: rtt=1ms.*\n {2}there: \d+ frames offered/);
  assert.ok((await roundTrip()) >= 1);

  const [line] = await recordedProcesses(lab.paths.processes);
  assert.ok(line);
  await endProcesses([line], 0);
  assert.equal(await inAlpha(knock(1)), '');
  assert.match(await run('ip', ['-n', alpha.namespace, '-brief', 'link', 'show', 'mig0']), /UP/);
  assert.doesNotMatch(await run('ip', ['-n', lab.plan.switch, '-brief', 'link']), /wan-/);
  await assert.rejects(lineOf(lab), { code: 'not_found', message: /no line answers in the lab/ });
  assert.equal(await run('ip', ['-brief', 'link']), rootLinks);
});

/** Answers the first client with the hash of what it sent. */
const server = `const hash = require('node:crypto').createHash('sha256');
const serving = require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  serving.close();
  socket.on('data', (bytes) => hash.update(bytes)).on('end', () => socket.end(hash.digest('hex')));
}).listen(7000, '10.77.2.12');`;
const client = `const bytes = Buffer.alloc(24_000_000);
for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(Math.imul(at, 2654435761) >>> 0, at);
const hash = require('node:crypto').createHash('sha256').update(bytes).digest('hex');
const send = () => {
  let answer = '';
  const socket = require('node:net').connect(7000, '10.77.2.12')
    .on('data', (text) => { answer += text; })
    .on('error', ({ code }) => code === 'ECONNREFUSED' ? setTimeout(send, 50) : console.log(code))
    .on('end', () => console.log(answer === hash ? 'the same' : 'another'));
  socket.end(bytes);
};
send();`;

test('what goes through a line that loses and reorders within large packets is what was sent; taken down, nothing is left', {
  skip,
}, async (t) => {
  const { lab, alpha, bravo } = await setUp(t, `x${process.pid}`, 'rtt=1ms,loss=1%,reorder=1%,jitter=1ms');
  const inHost = (namespace: string, script: string) => run('ip', ['netns', 'exec', namespace, process.execPath, '-e', script]);
  const [, answer] = await Promise.all([inHost(bravo.namespace, server), inHost(alpha.namespace, client)]);
  assert.equal(answer.trim(), 'the same');
  const { directions } = await lineOf(lab);
  const [there] = directions;
  assert.ok(there && there.counts.lost > 50 && there.counts.late > 50, JSON.stringify(there));
  for (const { counts, failures } of directions) {
    assert.equal(counts.offered, counts.carried + counts.dropped + counts.lost + counts.cut);
    assert.deepEqual(failures, { overflowed: 0, refused: 0 });
  }
  const started = await recordedProcesses(lab.paths.processes);
  assert.equal(started.length, 1);
  await takeDown(lab);
  assert.deepEqual(started.map(isAlive), [false]);
  assert.deepEqual(await presentNamespaces(lab.plan), []);
});

test('a lab of other than two hosts has no line', async () => {
  const lab = labOf('three', ['alpha', 'bravo', 'charlie']);
  await assert.rejects(layLine(lab, cleanLine, AbortSignal.timeout(1000)), { code: 'invalid_request', message: /two hosts.*has 3/ });
});
