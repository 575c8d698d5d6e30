/** The agent as it is shipped, over a journal that a crash or a device has left in every state: it serves, or it says why not and changes nothing. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, it, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { SourceRecord } from '../packages/agent/src/handover/records.ts';
import { Journal } from '../packages/agent/src/journal.ts';
import { type CertificateFiles, TestAuthority } from '../packages/agent/src/testing/certificates.ts';
import { isInside, needsRoot, runInNamespace } from '../packages/agent/src/testing/namespace.ts';
import { sealift } from './support/lab.ts';

if (isInside()) defineTests();
else test('an agent over a journal', { skip: needsRoot }, () => runInNamespace(fileURLToPath(import.meta.url)));

function defineTests(): void {
  let directory: string;
  let certificates: CertificateFiles;
  let state: string;
  let journal: string;
  let agent: ChildProcess | undefined;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'slj-'));
    certificates = await (await TestAuthority.create(directory)).issue('alpha.agent.sealift');
  });
  after(() => rm(directory, { recursive: true, force: true }));

  const record = (step: SourceRecord['step']): SourceRecord => ({
    ...{ role: 'source', step, migration: randomUUID(), attempt: 1, vm: 'web', runState: 'running' },
    ...{ expiresAt: Date.now() + 60_000, peer: { name: 'bravo', keyHash: '0'.repeat(64), endpoint: '127.0.0.2:8652' } },
    ...(step === 'ended' && { outcome: 'kept' }),
  });

  /** @returns its lines, without their line feeds */
  const fourRecords = (): string[] => readFileSync(journal, 'utf8').trimEnd().split('\n');

  beforeEach(() => {
    state = join(directory, 's');
    journal = join(state, 'journal');
    mkdirSync(state);
    const whole = Journal.open(journal);
    for (let i = 0; i < 4; i++) whole.append(record('ended'));
    whole.close();
  });

  afterEach(async () => {
    if (agent && agent.exitCode === null && agent.signalCode === null) {
      agent.kill('SIGKILL');
      await once(agent, 'exit');
    }
    for (const each of [state, join(directory, 'r')]) rmSync(each, { recursive: true, force: true });
  });

  /** @returns how it ended, or `ready`, and what it said until then */
  const start = async (): Promise<{ ended: number | null | 'ready'; said: string }> => {
    const { cert, key, ca } = certificates;
    const options = { name: 'alpha', state, run: join(directory, 'r'), cert, key, ca, accel: 'tcg' };
    const addresses = ['--listen', '127.0.0.1:8652', '--migration-listen', '127.0.0.1:8651'];
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
    const child = spawn(sealift, ['agent', ...args, ...addresses], { stdio: ['ignore', 'pipe', 'pipe'] });
    agent = child;
    let said = '';
    const { promise, resolve } = Promise.withResolvers<number | null | 'ready'>();
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        said += bytes;
        if (said.includes('"msg":"ready"')) resolve('ready');
      });
    }
    child.once('close', resolve);
    return { ended: await promise, said };
  };

  const serves = async (dropped: boolean): Promise<void> => {
    const { ended, said } = await start();
    assert.equal(ended, 'ready', said);
    assert.equal(/the last record was not finished .*; it was dropped/.test(said), dropped, said);
    const rest = readFileSync(journal, 'utf8');
    assert.ok(rest === '' || rest.endsWith('\n'));
  };

  const refuses = async (words: RegExp): Promise<void> => {
    const { ended, said } = await start();
    assert.equal(ended, 69, said);
    assert.match(said, words);
    assert.ok(said.includes(journal), said);
  };

  const refusesUnchanged = async (content: string | Buffer, words: RegExp): Promise<void> => {
    writeFileSync(journal, content);
    await refuses(words);
    assert.deepEqual(readFileSync(journal), Buffer.from(content), 'what an administrator is to look at stays as it is');
  };

  it('whole: it serves', () => serves(false));

  it('the last line unfinished, as a crash leaves it: it is dropped, and said', async () => {
    const lines = fourRecords();
    writeFileSync(journal, `${lines.join('\n')}\n${lines[3]?.slice(0, 40)}`);
    await serves(true);
    assert.deepEqual(fourRecords(), lines);
  });

  it('cut off within the last line but one: what is whole counts', async () => {
    const lines = fourRecords();
    writeFileSync(journal, `${lines.slice(0, 2).join('\n')}\n${lines[2]?.slice(0, 40)}`);
    await serves(true);
    assert.deepEqual(fourRecords(), lines.slice(0, 2));
  });

  it('empty: it serves', async () => {
    writeFileSync(journal, '');
    await serves(false);
  });

  it('a flipped byte in the middle: it does not guess', () => {
    const bytes = readFileSync(journal);
    const at = bytes.indexOf(10) + 60;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    return refusesUnchanged(bytes, /damaged at line 2: its checksum is wrong.*runs on one host only, then move the file away/);
  });

  it('a line missing', () => {
    const [first, , third, fourth] = fourRecords();
    return refusesUnchanged([first, third, fourth, ''].join('\n'), /damaged at line 2: it carries the number 3/);
  });

  it('the last line but one cut short, with one after it', () => {
    const [first, second, third, fourth] = fourRecords();
    return refusesUnchanged([first, second, third?.slice(0, 40), fourth, ''].join('\n'), /damaged at line 3: its checksum is wrong/);
  });

  it('a directory in its place', async () => {
    rmSync(journal);
    mkdirSync(journal);
    await refuses(/cannot be opened: EISDIR .*move it away/);
  });
}
