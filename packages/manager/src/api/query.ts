/** A URL's query has strings only; this makes of them what the route's schema speaks of. */
import type { TSchema } from 'typebox';

/** What does not look like the type that the schema wants stays as it is, for the validation to refuse in its own words. */
export function readQuery(schema: TSchema, query: unknown): unknown {
  if (typeof query !== 'object' || query === null || !('properties' in schema)) return query;
  const properties = schema.properties as Record<string, { type?: unknown }>; // those of an object's schema
  return Object.fromEntries(Object.entries(query).map(([name, value]) => [name, read(properties[name]?.type, value)]));
}

function read(type: unknown, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if ((type === 'integer' || type === 'number') && /^-?\d{1,15}$/.test(value)) return Number(value);
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}
