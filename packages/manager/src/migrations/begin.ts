/**
 * Hands a spec to both agents: the destination first, so that it listens before the source connects.
 *
 *     offerKey (both) → wrap → incoming (destination) → outgoing (source)
 *
 * Each step that succeeded is undone when a later one fails. Each agent is told where the other one answers: an attempt in doubt is settled there.
 */
import { type MigrationSpec, type OutgoingRequest, SealiftError, type VmDefinition } from '@sealift/contract';
import type { AgentLink } from '../agents/link.ts';
import { makeWrappedKeys } from './spec/make.ts';

export interface Parties {
  readonly source: AgentLink;
  readonly destination: AgentLink;
}

export interface Begin extends Parties {
  readonly spec: MigrationSpec;
  readonly vm: VmDefinition;
  /** Throws where the migration was cancelled meanwhile. */
  readonly checkCancelled: () => void;
  /** Called right before the source is told. */
  readonly sourceIsTold: () => Promise<void>;
  /** Tells the destination that the attempt is off; never rejects. */
  readonly undoDestination: () => Promise<void>;
}

/**
 * @returns when the source has begun. An error that is returned, not thrown, leaves open whether it has: the source is to be asked.
 * @throws SealiftError where the source has certainly not begun; the destination has been told
 */
export async function begin({
  spec,
  vm,
  source,
  destination,
  checkCancelled,
  sourceIsTold,
  undoDestination,
}: Begin): Promise<SealiftError | undefined> {
  checkCancelled();
  const body = { migration: spec.migration, attempt: spec.attempt };
  const [forSource, forDestination] = await Promise.all([source.client.offerKey({ body }), destination.client.offerKey({ body })]);
  checkCancelled();
  const keys = makeWrappedKeys(spec, { source: forSource, destination: forDestination });
  try {
    const { endpoints } = await destination.client.incoming({ body: { spec, key: keys.destination, vm, peer: source.endpoint } });
    await sourceIsTold();
    checkCancelled();
    return await tellSource(source, { spec, key: keys.source, vm: vm.name, endpoints, peer: destination.endpoint });
  } catch (error) {
    await undoDestination();
    throw error;
  }
}

async function tellSource(source: AgentLink, body: OutgoingRequest): Promise<SealiftError | undefined> {
  try {
    await source.client.outgoing({ body });
    return undefined;
  } catch (error) {
    // The order may have arrived although its answer did not.
    if (error instanceof SealiftError && (error.code === 'agent_unreachable' || error.code === 'internal')) return error;
    throw error;
  }
}
