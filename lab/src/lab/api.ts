/** The manager's public API over its unix socket. */
import { type Client, createClient, type Fetch, publicApi } from '@sealift/contract';
import { Agent, fetch } from 'undici';

export type ManagerClient = Client<typeof publicApi> & AsyncDisposable;

export const managerClient = (socketPath: string): ManagerClient => {
  const dispatcher = new Agent({ connect: { socketPath } });
  // undici's Response is the platform's, in types of its own.
  const overSocket: Fetch = async (url, init) => (await fetch(url, { ...init, dispatcher })) as unknown as Response;
  const client = createClient(publicApi, 'http://manager', overSocket, 'manager_unreachable');
  return { ...client, [Symbol.asyncDispose]: () => dispatcher.destroy() };
};
