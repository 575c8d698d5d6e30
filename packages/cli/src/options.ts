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

/** Of pages, numbers and limits that mean nothing at 0. */
export function atLeastOne(text: string): number {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError('It is not 1 or more.');
  return value;
}

export function onOrOff(text: string): boolean {
  if (text !== 'on' && text !== 'off') throw new InvalidArgumentError('It is neither on nor off.');
  return text === 'on';
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 };

/** Milliseconds of `90s`, `10m` or `1h`. */
export function duration(text: string): number {
  const [, number, unit = 's'] = /^(\d{1,9}(?:\.\d+)?)(ms|s|m|min|h)?$/.exec(text) ?? [];
  const factor = unitMs[unit];
  if (number === undefined || factor === undefined) throw new InvalidArgumentError('It is not a time such as 90s, 10m or 1h.');
  return Math.round(Number(number) * factor);
}

export const numberOrDefault = (text: string): number | 'default' => (text === 'default' ? text : atLeastOne(text));
