/** The one place where an error becomes an answer. */
import { errorCodes, SealiftError } from '@sealift/contract';
import type { FastifyError, FastifyReply, FastifyRequest, FastifySchemaValidationError } from 'fastify';

/** Every handler's and Fastify's own errors end here. */
export function answerError(error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): void {
  const known = toSealiftError(error);
  if (known.code === 'internal') request.log.error({ err: error }, 'a request failed unexpectedly');
  void reply.code(known.status).send(known.toBody());
}

function toSealiftError(error: FastifyError | Error): SealiftError {
  if (error instanceof SealiftError) return error;
  if ('validation' in error && error.validation) return invalid(error.validation, error.validationContext);
  const status = 'statusCode' in error ? (error.statusCode ?? 500) : 500;
  // Fastify's own 4xx: not JSON, too long, a method or media type that is not served. Its words are good.
  if (status >= 400 && status < 500) return new SealiftError('invalid_request', error.message, { cause: error });
  return new SealiftError('internal', 'the manager failed unexpectedly; its log says where', { cause: error });
}

/** What Ajv adds with `verbose`. */
type Verbose = FastifySchemaValidationError & { readonly parentSchema?: { description?: string; anyOf?: { const?: unknown }[] } };

/** Names the field and says what it must be. Of a union's errors the last is the union's own. */
function invalid(errors: readonly Verbose[], part = 'body'): SealiftError {
  const error = errors.at(-1);
  if (!error) return new SealiftError('invalid_request', `${part} is not what this call takes`);
  const path = error.instancePath.slice(1).replaceAll('/', '.');
  const inside = (name: unknown) => (path === '' ? String(name) : `${path}.${name}`);
  const field = path === '' ? part : path;
  const { parentSchema } = error;
  const choices = parentSchema?.anyOf?.map((each) => each.const).filter((choice) => choice !== undefined);
  const message =
    error.keyword === 'required'
      ? `${inside(error.params['missingProperty'])} is missing`
      : error.keyword === 'additionalProperties'
        ? `${inside(error.params['additionalProperty'])} is not a field of this call`
        : choices?.length
          ? `${field} must be one of ${choices.join(', ')}`
          : error.keyword === 'pattern' && parentSchema?.description
            ? `${field} is not valid; it must be: ${parentSchema.description}`
            : `${field} ${error.message ?? 'is not valid'}`;
  return new SealiftError('invalid_request', message, { details: { field } });
}

/** The statuses that a route may answer with beside its own. */
export const errorStatuses: readonly number[] = [...new Set(Object.values(errorCodes).map(({ status }) => status))].sort();
