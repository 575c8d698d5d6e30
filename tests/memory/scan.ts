/** Looks for keys in another process's memory: for given bytes, and for AES-256 key schedules. */
import { writableMemory } from './pages.ts';
import { Patterns } from './patterns.ts';
import { schedulesIn } from './schedule.ts';

export interface Found {
  /** How often each of the given byte strings was there, by their names. */
  readonly bytes: Readonly<Record<string, number>>;
  /** The keys, in hexadecimal, of all AES-256 key schedules that were there, each once. */
  readonly schedules: ReadonlySet<string>;
}

/** @param wanted what to look for, by name, at least 7 bytes each. Of another process: the search leaves traces in its own */
export function search(pid: number, wanted: Readonly<Record<string, Buffer>>): Found {
  const bytes = Object.fromEntries(Object.keys(wanted).map((name) => [name, 0]));
  const schedules = new Set<string>();
  const patterns = new Patterns(wanted);
  for (const pages of writableMemory(pid)) {
    patterns.search(pages, (name) => {
      bytes[name] = (bytes[name] ?? 0) + 1;
    });
    for (const key of schedulesIn(pages)) schedules.add(key);
  }
  return { bytes, schedules };
}

/**
 * A secret without its last quarter and without its first, for allocators write into what they get back, and most of a key is left then. Not less: a
 * quarter or a half is what a register holds, and registers are saved to the stack at moments that no program decides.
 */
export const partsOf = (name: string, secret: Buffer): Record<string, Buffer> => ({
  [`${name}, beginning`]: secret.subarray(0, Math.ceil(secret.length * 0.75)),
  [`${name}, end`]: secret.subarray(Math.floor(secret.length / 4)),
});

/** A secret of 32 bytes in every form that it may have come by: bytes, and the texts that JSON, logs and headers are made of. */
export function formsOf(name: string, secret: Buffer): Record<string, Buffer> {
  const hex = secret.toString('hex');
  const texts = {
    hexadecimal: hex,
    'capital hexadecimal': hex.toUpperCase(),
    // Without the last letter, which depends on what follows.
    base64: secret.toString('base64').slice(0, 42),
    base64url: secret.toString('base64url').slice(0, 42),
    'decimal numbers': [...secret].join(','),
  };
  const forms = partsOf(name, secret);
  for (const [form, text] of Object.entries(texts)) {
    Object.assign(forms, partsOf(`${name} in ${form}`, Buffer.from(text)));
    // As V8 keeps a string that has any letter beyond Latin-1 in it.
    Object.assign(forms, partsOf(`${name} in ${form} of two bytes a letter`, Buffer.from(text, 'utf16le')));
  }
  return forms;
}
