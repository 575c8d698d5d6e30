import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Peer, Statement } from '@sealift/contract';
import { type Certificates, readCertificates } from '../certificates.ts';
import { TestAuthority } from '../testing/certificates.ts';
import { checkStatement, makeStatement } from './statement.ts';

const subject = { migration: '5d4b3f0a-3c1e-4a55-9d3e-0a1b2c3d4e5f', attempt: 1, vm: 'web' };
const challenge = Buffer.alloc(16, 7).toString('base64url');

describe('a statement', () => {
  let directory: string;
  let bravo: Certificates;
  let charlie: Certificates;
  let stranger: Certificates;
  let authority: X509Certificate;
  let peer: Peer;
  let said: Statement;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'slst-'));
    const [here, there] = [join(directory, 'ours'), join(directory, 'theirs')];
    for (const each of [here, there]) await mkdir(each);
    const ours = await TestAuthority.create(here);
    const theirs = await TestAuthority.create(there);
    const files = await ours.issue('bravo.agent.sealift');
    bravo = readCertificates('bravo', files);
    charlie = readCertificates('charlie', await ours.issue('charlie.agent.sealift'));
    stranger = readCertificates('bravo', await theirs.issue('bravo.agent.sealift'));
    authority = new X509Certificate(await readFile(files.ca));
    peer = { name: 'bravo', keyHash: bravo.keyHash, endpoint: '192.0.2.2:8652' };
    said = makeStatement(subject, 'running', challenge, 'bravo', bravo);
  });
  after(() => rm(directory, { recursive: true, force: true }));

  const refused = (statement: Statement, what: RegExp, whose: Peer = peer, now?: number) =>
    assert.throws(() => checkStatement(statement, subject, whose, authority, now), { code: 'not_authorised', message: what });

  it('is believed of the host that the spec named, about the attempt that it is about', () => {
    checkStatement(said, subject, peer, authority);
  });

  it('is believed still when its certificate has expired since: whose key it is has not changed', () => {
    checkStatement(said, subject, peer, authority, bravo.certificate.validToDate.getTime() + 1);
    refused(said, /not valid yet/, peer, bravo.certificate.validFromDate.getTime() - 1000);
  });

  it('is refused with one bit of anything else than it was signed with', () => {
    refused({ ...said, verdict: 'aborted' }, /signature/);
    refused({ ...said, challenge: Buffer.alloc(16, 8).toString('base64url') }, /signature/);
    const signature = Buffer.from(said.signature, 'base64url');
    signature[signature.length - 1] = (signature.at(-1) ?? 0) ^ 1;
    refused({ ...said, signature: signature.toString('base64url') }, /signature/);
    refused({ ...said, signature: '' }, /signature/);
  });

  it('is refused about another migration, attempt or VM, whoever signed it', () => {
    for (const other of [{ migration: subject.migration.replace('5d', '5e') }, { attempt: 2 }, { vm: 'db' }]) {
      refused(makeStatement({ ...subject, ...other }, 'running', challenge, 'bravo', bravo), /another one/);
      refused({ ...said, ...other }, /another one/);
    }
    // As if it had been about this one: the signature knows better.
    const aboutOther = makeStatement({ ...subject, attempt: 2 }, 'aborted', challenge, 'bravo', bravo);
    refused({ ...aboutOther, attempt: 1 }, /signature/);
  });

  it('is refused of another host of the same authority, under its own name or the other one', () => {
    refused(makeStatement(subject, 'aborted', challenge, 'charlie', charlie), /charlie's/);
    refused(makeStatement(subject, 'aborted', challenge, 'bravo', charlie), /with the key/);
    refused(makeStatement(subject, 'aborted', challenge, 'bravo', charlie), /bravo's agent/, { ...peer, keyHash: charlie.keyHash });
    refused({ ...makeStatement(subject, 'aborted', challenge, 'bravo', charlie), certificate: said.certificate }, /signature/);
  });

  it('is refused of another authority, even with the key that the spec named', () => {
    const forged = makeStatement(subject, 'aborted', challenge, 'bravo', stranger);
    refused(forged, /with the key/);
    refused(forged, /authority/, { ...peer, keyHash: stranger.keyHash });
  });

  it('is refused with a certificate that is none', () => {
    refused({ ...said, certificate: 'AAAA' }, /cannot be read/);
  });
});
