/** Values of options, checked before anything is asked of a manager. */
import { InvalidArgumentError } from 'commander';
import { parseSize } from './output/units.ts';

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It is not a whole number.');
  return Number(text);
}

/** 0 to 99. */
export function percent(text: string): number {
  if (!/^\d{1,2}$/.test(text)) throw new InvalidArgumentError('It is not a whole number from 0 to 99.');
  return Number(text);
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value === 0) throw new InvalidArgumentError('It is not a positive number.');
  return value;
}

export function size(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined) throw new InvalidArgumentError('It is not a size such as 500M (10^6) or 2Gi (2^30).');
  return bytes;
}

/** For an option that may be given several times. */
export const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];
