/** What is different between two definitions, field by field. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { VmDefinition } from '@sealift/contract';

export interface Change {
  /** `memoryMiB`, `disks.0.path`. */
  readonly field: string;
  /** Missing where it was not there. */
  readonly from?: unknown;
  readonly to?: unknown;
}

export function changesBetween(from: VmDefinition, to: VmDefinition): Change[] {
  return differences('', from, to);
}

function differences(field: string, from: unknown, to: unknown): Change[] {
  if (isDeepStrictEqual(from, to)) return [];
  if (isObject(from) && isObject(to)) {
    const names = new Set([...Object.keys(from), ...Object.keys(to)]);
    return [...names].flatMap((name) => differences(field === '' ? name : `${field}.${name}`, from[name], to[name]));
  }
  return [{ field, ...(from !== undefined && { from }), ...(to !== undefined && { to }) }];
}

/** An array is one, by its places. */
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** May be changed while the VM is on. */
export const whileOn = ({ field }: Change): boolean => field === 'encryption';

const word = (value: unknown, field: string): string => {
  if (value === undefined) return field === 'encryption' ? "the cluster's" : 'nothing';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
};

export const changeWords = ({ field, from, to }: Change): string => `${field} ${word(from, field)} → ${word(to, field)}`;
