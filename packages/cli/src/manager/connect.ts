/** The typed client of the contract over undici, on a unix socket or TCP. */
import type { Client, Fetch, publicApi } from '@sealift/contract';
import { type ManagerAddress, nameOf } from './address.ts';

export type Manager = Client<typeof publicApi> & AsyncDisposable;

/** Streams of events carry a comment each 15 s: four missed ones are a manager that is gone. */
const silenceMs = 60_000;
const connectMs = 10_000;

/** Nothing is sent before the first request. Disposing closes the connections, so that the process can end. */
export async function connect(address: ManagerAddress): Promise<Manager> {
  const [{ createClient, publicApi, SealiftError }, { Agent, fetch }] = await Promise.all([import('@sealift/contract'), import('undici')]);
  const unix = address.kind === 'unix' ? { socketPath: address.path } : {};
  // Powering a guest off, preparing a migration or copying an image for a disk is answered when it is done: headers may take an hour.
  const dispatcher = new Agent({ bodyTimeout: silenceMs, headersTimeout: 3_600_000, connect: { timeout: connectMs, ...unix } });
  const base = address.kind === 'unix' ? 'http://localhost' : address.origin;
  const reach = async (url: string, init: Parameters<Fetch>[1]): Promise<Response> => {
    try {
      const response = await fetch(url, { ...init, dispatcher });
      return response as unknown as Response; // undici's Response and the global one are the same class in two declarations
    } catch (cause) {
      if (init.signal?.aborted) throw cause;
      throw new SealiftError('manager_unreachable', `no manager answers at ${nameOf(address)}: ${reasonOf(cause)}`, { cause });
    }
  };
  const client = createClient(publicApi, base, reach, 'manager_unreachable');
  return Object.assign(client, { [Symbol.asyncDispose]: () => dispatcher.destroy() });
}

/** undici says "fetch failed"; what failed is the cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
