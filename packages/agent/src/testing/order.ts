/** The manager's part in a migration, for tests between two agents: the spec, its key, the wrapping, the two orders. */
import { createCipheriv, createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync, randomBytes, randomUUID } from 'node:crypto';
import type { AttemptReport, CopiedDisk, MigrationLimits, MigrationSpec, WrappedKey } from '@sealift/contract';
import { contextHash } from '@sealift/transport';
import { toAttempt } from '../migration/spec.ts';
import type { RunningAgent } from '../run.ts';

export interface OrderOptions {
  readonly suite?: MigrationSpec['suite'];
  readonly channels?: number;
  readonly limits?: Partial<MigrationLimits>;
  readonly disks?: readonly CopiedDisk[];
  readonly keepSourceDisks?: boolean;
}

export function testSpec(source: RunningAgent, destination: RunningAgent, options: OrderOptions = {}): MigrationSpec {
  return {
    protocolVersion: 1,
    migration: randomUUID(),
    attempt: 1,
    nonce: randomBytes(8).toString('base64url'),
    suite: options.suite ?? 'aes-256-gcm',
    source: source.host.identity,
    destination: destination.host.identity,
    channels: (options.channels ?? 4) + (options.disks?.length ?? 0),
    ...(options.disks && { disks: [...options.disks], keepSourceDisks: options.keepSourceDisks ?? false }),
    limits: {
      bandwidthBytesPerSecond: 0,
      downtimeMs: 30,
      maxDowntimeMs: 300,
      deadlineMs: 60_000,
      maxThrottlePercent: 80,
      postcopy: false,
      ...options.limits,
    },
    expiresAt: Date.now() + 60_000,
  };
}

/**
 * Orders a migration.
 *
 * @param between turns where the destination listens into where the source connects: for an attacker in between
 * @param told what the destination is told in the place of `spec`
 * @returns the source's report as it accepted
 */
export async function order(
  source: RunningAgent,
  destination: RunningAgent,
  vm: string,
  spec: MigrationSpec,
  between = async (endpoints: readonly string[]): Promise<readonly string[]> => endpoints,
  told = spec,
): Promise<AttemptReport> {
  const key = randomBytes(32);
  const wrapFor = async (agent: RunningAgent, its: MigrationSpec): Promise<WrappedKey> =>
    wrap(key, Buffer.from((await agent.attempts.offerKey(its)).publicKey, 'base64url'), contextHash(toAttempt(its)));
  const { definition } = source.host.vms.vm(vm);
  const { endpoints } = await destination.attempts.incoming({
    spec: told,
    key: await wrapFor(destination, told),
    vm: definition,
    peer: source.endpoint,
  });
  return source.attempts.outgoing({
    spec,
    key: await wrapFor(source, spec),
    vm,
    endpoints: [...(await between(endpoints))],
    peer: destination.endpoint,
  });
}

/** The report once it has ended, or once `until` holds. */
export async function follow(
  agent: RunningAgent,
  migration: string,
  until: (report: AttemptReport) => boolean = () => false,
): Promise<AttemptReport> {
  let last: AttemptReport | undefined;
  for await (const report of agent.attempts.watch(migration, AbortSignal.timeout(90_000))) {
    last = report;
    if (until(report)) break;
  }
  if (!last) throw new Error('no report came');
  return last;
}

/** docs/protocol.md "key wrap", once more than the manager's: the two are held together by their vectors. */
function wrap(key: Buffer, agentPublicKey: Buffer, context: Buffer): WrappedKey {
  const pair = generateKeyPairSync('x25519');
  const ephemeral = Buffer.from(pair.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const peer = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: agentPublicKey.toString('base64url') }, format: 'jwk' });
  const shared = diffieHellman({ privateKey: pair.privateKey, publicKey: peer });
  const info = Buffer.concat([Buffer.from('sealift/1 key wrap\0'), ephemeral, agentPublicKey, context]);
  const derived = Buffer.from(hkdfSync('sha256', shared, Buffer.alloc(0), info, 44));
  const cipher = createCipheriv('aes-256-gcm', derived.subarray(0, 32), derived.subarray(32));
  cipher.setAAD(context);
  const sealed = Buffer.concat([cipher.update(key), cipher.final(), cipher.getAuthTag()]);
  return { ephemeral: ephemeral.toString('base64url'), sealed: sealed.toString('base64url') };
}
