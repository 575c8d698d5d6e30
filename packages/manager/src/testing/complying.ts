/** Holds an agent to the contract's schemas: a client whose every answer is looked at before it is handed on. */
import assert from 'node:assert/strict';
import { agentApi, type Client, type Route } from '@sealift/contract';
import { Errors } from 'typebox/value';

type AgentClient = Client<typeof agentApi>;
type AnyCall = (input?: unknown, signal?: AbortSignal) => Promise<unknown> | AsyncGenerator;

/** @returns the same client; a call of it, or the next event, fails where the answer is not what the contract says */
export function complying(client: AgentClient): AgentClient {
  const calls = Object.entries(client as Record<string, AnyCall>).map(([name, call]) => {
    const route: Route = agentApi[name as keyof typeof agentApi]; // the client was made of this table
    return [name, route.stream === 'events' ? eventsOf(name, route, call) : answerOf(name, route, call)] as const;
  });
  return Object.fromEntries(calls) as AgentClient; // one for each of the client's own
}

const answerOf =
  (name: string, route: Route, call: AnyCall): AnyCall =>
  async (input, signal) =>
    checked(name, route, await call(input, signal));

const eventsOf = (name: string, route: Route, call: AnyCall): AnyCall =>
  async function* (input, signal) {
    for await (const event of call(input, signal) as AsyncGenerator) yield checked(name, route, event); // as its route says
  };

function checked(name: string, { response }: Route, answer: unknown): unknown {
  const wrong = Errors(response, answer).map(({ instancePath, message }) => `${instancePath || 'it'} ${message}`);
  assert.deepEqual(wrong, [], `the answer to ${name} is not the contract's`);
  return answer;
}
