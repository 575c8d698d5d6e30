/** A VM's definition from options, over one that is there already or a file. */
import { disksFault, VmDefinition } from '@sealift/contract';
import { Default, Errors } from 'typebox/value';
import { UsageError } from '../exit-codes.ts';
import { parseDisk, type SeedOptions, seedOver, withDiskDefaults } from './disks.ts';
import { readDocuments } from './documents.ts';
import { macFor } from './mac.ts';

export interface DefinitionOptions extends SeedOptions {
  readonly memory?: number;
  readonly vcpus?: number;
  readonly cpuModel?: string;
  readonly machine?: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly cmdline?: string;
  readonly disk?: readonly string[];
  readonly nic?: readonly string[];
  /** `default` leaves it to the cluster. */
  readonly encryption?: string;
}

/** What the contract leaves to whoever defines a VM; its own defaults are in its schema. */
const defaults = { memoryMiB: 512 };

/** `BRIDGE[,mac=52:54:00:…]`. */
export function parseNic(text: string): { bridge: string; mac?: string } {
  const [bridge = '', ...options] = text.split(',');
  let mac: string | undefined;
  for (const option of options) {
    if (!option.startsWith('mac=')) throw new UsageError(`--nic ${text}: "${option}" is not mac=ADDRESS`);
    mac = option.slice('mac='.length).toLowerCase();
  }
  return { bridge, ...(mac !== undefined && { mac }) };
}

export interface Draft {
  readonly kernelBoot?: object;
  readonly nics?: unknown;
  readonly disks?: unknown;
  readonly seed?: unknown;
  readonly encryption?: unknown;
}

/** @throws UsageError that names each field that is not right */
export async function definitionOf(name: string, options: DefinitionOptions & { readonly file?: string }): Promise<VmDefinition> {
  if (options.file === undefined) return definitionOver(name, {}, options);
  const [only, ...more] = await readDocuments(options.file);
  if (!only || more.length > 0)
    throw new UsageError(`${options.file} has ${more.length + 1} definitions; several are for: sealift vm apply`);
  return definitionOver(name, only.value, options);
}

/** What the options say goes before what is there. @throws as {@link definitionOf} */
export function definitionOver(name: string, there: Draft, options: DefinitionOptions): VmDefinition {
  const { kernel, initrd, cmdline, disk, nic, encryption } = options;
  const boot = { ...(kernel && { kernel }), ...(initrd && { initrd }), ...(cmdline !== undefined && { cmdline }) };
  if (Object.keys(boot).length > 0 && kernel === undefined && there.kernelBoot === undefined) {
    throw new UsageError('--initrd and --cmdline belong to --kernel, which is missing');
  }
  const { encryption: own, ...rest } = there;
  const mode = encryption ?? own;
  const seed = seedOver(there.seed, options);
  return checked(name, {
    ...rest,
    ...(options.memory !== undefined && { memoryMiB: options.memory }),
    ...(options.vcpus !== undefined && { vcpus: options.vcpus }),
    ...(options.cpuModel !== undefined && { cpuModel: options.cpuModel }),
    ...(options.machine !== undefined && { machine: options.machine }),
    ...(mode !== undefined && mode !== 'default' && { encryption: mode }),
    ...(Object.keys(boot).length > 0 && { kernelBoot: { ...there.kernelBoot, ...boot } }),
    ...(seed !== undefined && { seed }),
    ...(disk && { disks: disk.map(parseDisk) }),
    ...(nic && { nics: nic.map(parseNic) }),
  });
}

/**
 * A draft with what it leaves out.
 * @param where it comes from, for errors
 * @throws UsageError that names each field that is not right
 */
export function checked(name: string, draft: Draft, where = `the definition of ${name}`): VmDefinition {
  const definition: unknown = Default(VmDefinition, {
    ...defaults,
    ...draft,
    name,
    disks: withDiskDefaults(draft.disks),
    nics: withMacs(name, draft.nics),
  });
  const errors = [...Errors(VmDefinition, definition)];
  if (errors.length > 0) {
    const words = errors.map(({ instancePath, message }) => `${instancePath.slice(1).replaceAll('/', '.') || 'it'} ${message}`);
    throw new UsageError(`${where} is not right: ${[...new Set(words)].join('; ')}`);
  }
  const sound = definition as VmDefinition; // there was no error against this very schema
  const fault = disksFault(sound.disks);
  if (fault !== undefined) throw new UsageError(`${where} is not right: ${fault}`);
  return sound;
}

const withMacs = (name: string, nics: unknown): unknown =>
  Array.isArray(nics) ? nics.map((nic: object, index) => ({ mac: macFor(name, index), ...nic })) : (nics ?? []);
