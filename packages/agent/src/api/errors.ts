/** One mapping of whatever a handler throws to what the API answers. */
import { SealiftError } from '@sealift/contract';
import { HypervisorError, QmpError } from '@sealift/hypervisor';
import { JournalError } from '../journal.ts';

/** What is not foreseen becomes `internal`, without its words: they may say more of the host than a caller should hear. The log has them. */
export function toSealiftError(error: unknown): SealiftError {
  if (error instanceof SealiftError) return error;
  if (error instanceof HypervisorError) {
    return new SealiftError(error.code === 'definition' ? 'invalid_request' : 'hypervisor', error.message, { cause: error });
  }
  if (error instanceof QmpError) return new SealiftError('hypervisor', error.message, { cause: error });
  if (error instanceof JournalError) {
    return new SealiftError('internal', `${error.message}, then try again; nothing was changed`, { cause: error });
  }
  if (error instanceof Error) {
    // Fastify's own: schemas, JSON that does not parse, bodies too large.
    if ('statusCode' in error && typeof error.statusCode === 'number' && error.statusCode >= 400 && error.statusCode < 500) {
      return new SealiftError(error.statusCode === 404 ? 'not_found' : 'invalid_request', error.message, { cause: error });
    }
    if ('code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')) {
      return new SealiftError('no_room', 'the disk of the host is full where the agent keeps its state', { cause: error });
    }
  }
  return new SealiftError('internal', 'the agent failed unexpectedly; its log says why', { cause: error });
}
