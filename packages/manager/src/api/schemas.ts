/** Turns the contract's schemas into what Fastify and its serialiser want: each named schema once, referred to by its name. */
import type { Api } from '@sealift/contract';

export type JsonSchema = Record<string, unknown>;

/** Collects every schema with an `$id`, and answers with copies in which `$ref` stands in its place. */
export class NamedSchemas {
  readonly #named = new Map<string, JsonSchema>();

  /** All that were met, to be given to Fastify before the routes. */
  all(): JsonSchema[] {
    return [...this.#named.values()];
  }

  /** A copy of the schema with references. */
  refer(schema: object): JsonSchema {
    const id = '$id' in schema && typeof schema.$id === 'string' ? schema.$id : undefined;
    if (id === undefined) return this.#copy(schema);
    if (!this.#named.has(id)) {
      this.#named.set(id, {}); // holds the place, should a schema contain itself
      this.#named.set(id, this.#copy(schema));
    }
    return { $ref: `${id}#` };
  }

  #copy(schema: object): JsonSchema {
    return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, this.#value(value)]));
  }

  #value(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((each) => this.#value(each));
    return typeof value === 'object' && value !== null ? this.refer(value) : value;
  }
}

/** The names of an API's routes in their order, with the type that `Object.entries` loses. */
export const routesOf = <A extends Api>(api: A): [keyof A & string, A[keyof A]][] =>
  Object.entries(api) as [keyof A & string, A[keyof A]][]; // what Object.entries gives for a record of A's own keys
