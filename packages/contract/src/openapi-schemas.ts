/** The contract's schemas as OpenAPI has them: each that has a name once, referred to from everywhere else. */
import * as cluster from './cluster.ts';
import * as event from './event.ts';
import * as host from './host.ts';
import * as migration from './migration.ts';
import * as plan from './plan.ts';
import * as settlement from './settlement.ts';
import * as task from './task.ts';
import * as vm from './vm.ts';

export type Json = { readonly [key: string]: unknown };

/**
 * `answered`: as the manager says it. `asked`: as it may be said to the manager, where whatever has a default may be left out; a schema for
 * which that makes a difference has a second name for it.
 */
type Way = 'answered' | 'asked';

export class Components {
  readonly #schemas: Record<string, Json> = {};

  /** Every schema that was referred to, by name. */
  get schemas(): Readonly<Record<string, Json>> {
    return Object.fromEntries(Object.entries(this.#schemas).sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  readonly answered = (schema: object): Json => this.#refer(schema, 'answered');
  readonly asked = (schema: object): Json => this.#refer(schema, 'asked');

  #refer(schema: object, way: Way): Json {
    const name = nameOf(schema);
    if (name === undefined) return this.#copy(schema, way);
    const own = way === 'asked' && hasDefaults(schema) ? `${name}Input` : name;
    if (!(own in this.#schemas)) {
      this.#schemas[own] = {}; // holds the place, should a schema contain itself
      this.#schemas[own] = this.#copy(schema, way);
    }
    return { $ref: `#/components/schemas/${own}` };
  }

  #copy(schema: object, way: Way): Json {
    const choices = 'anyOf' in schema && Array.isArray(schema.anyOf) ? schema.anyOf.map((each) => each.const) : [];
    if (choices.length > 0 && choices.every((choice) => typeof choice === 'string')) {
      return { type: 'string', enum: choices, ...('description' in schema && { description: schema.description }) };
    }
    const copied = Object.entries(schema).flatMap(([key, value]) => {
      if (key === '$id') return [];
      if (key === 'required' && way === 'asked') return required(schema, value);
      return [[key, key === 'properties' ? this.#each(value, way) : this.#value(value, way)]];
    });
    return Object.fromEntries(copied);
  }

  /** Of an object's properties the names are names, and no keywords. */
  #each(properties: object, way: Way): Json {
    return Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, this.#refer(schema, way)]));
  }

  #value(value: unknown, way: Way): unknown {
    if (Array.isArray(value)) return value.map((each) => this.#value(each, way));
    return typeof value === 'object' && value !== null ? this.#refer(value, way) : value;
  }
}

/** An optional copy of a schema is another object with the same parts. */
const partOf = (schema: object): unknown => ('properties' in schema ? schema.properties : 'anyOf' in schema ? schema.anyOf : undefined);

const names = new Map<unknown, string>(
  [cluster, event, host, migration, plan, settlement, task, vm].flatMap((module) =>
    Object.entries(module).flatMap(([name, schema]) => {
      const part = typeof schema === 'object' ? partOf(schema) : undefined;
      return part === undefined ? [] : [[part, name] as const];
    }),
  ),
);

const nameOf = (schema: object): string | undefined =>
  '$id' in schema && typeof schema.$id === 'string' ? schema.$id : names.get(partOf(schema));

const propertiesOf = (schema: object): Record<string, object> =>
  'properties' in schema ? (schema.properties as Record<string, object>) : {}; // those of an object's schema

function required(schema: object, all: unknown): [string, unknown][] {
  const properties = propertiesOf(schema);
  const left = (all as string[]).filter((name) => !('default' in (properties[name] ?? {}))); // `required` is a list of names
  return left.length === 0 ? [] : [['required', left]];
}

/** May anything in it be left out that is there in an answer? */
function hasDefaults(schema: unknown): boolean {
  if (typeof schema !== 'object' || schema === null) return false;
  if (Array.isArray(schema)) return schema.some(hasDefaults);
  const all = 'required' in schema && Array.isArray(schema.required) ? schema.required : [];
  const properties = propertiesOf(schema);
  return all.some((name) => 'default' in (properties[name] ?? {})) || Object.values(schema).some(hasDefaults);
}
