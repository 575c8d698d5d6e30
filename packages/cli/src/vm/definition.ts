/** A VM's definition from a file and from options; an option goes before the file. */
import { readFile } from 'node:fs/promises';
import { VmDefinition } from '@sealift/contract';
import { Default, Errors } from 'typebox/value';
import { UsageError } from '../exit-codes.ts';
import { macFor } from './mac.ts';

export interface CreateOptions {
  readonly file?: string;
  readonly memory?: number;
  readonly vcpus?: number;
  readonly cpuModel?: string;
  readonly machine?: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly cmdline?: string;
  readonly disk?: readonly string[];
  readonly nic?: readonly string[];
  readonly encryption?: string;
}

/** What the contract leaves to whoever defines a VM; its own defaults are in its schema. */
const defaults = { memoryMiB: 512, encryption: 'opportunistic' };

/** `PATH[,format=raw|qcow2][,shared]`. The format is the file name's where it is not said: raw unless it ends in .qcow2. */
export function parseDisk(text: string): { path: string; format: string; shared: boolean } {
  const [path = '', ...options] = text.split(',');
  let format = path.endsWith('.qcow2') ? 'qcow2' : 'raw';
  let shared = false;
  for (const option of options) {
    if (option === 'shared') shared = true;
    else if (option.startsWith('format=')) format = option.slice('format='.length);
    else throw new UsageError(`--disk ${text}: "${option}" is neither format=raw, format=qcow2 nor shared`);
  }
  return { path, format, shared };
}

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

async function readDefinition(file: string): Promise<object> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file === '-' ? '/dev/stdin' : file, 'utf8'));
  } catch (error) {
    throw new UsageError(`${file} cannot be read as a definition: ${error instanceof Error ? error.message : error}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new UsageError(`${file} is JSON, but no object`);
  return value;
}

type Draft = { kernelBoot?: object; nics?: unknown };

/** @throws UsageError that names each field that is not right */
export async function definitionOf(name: string, options: CreateOptions): Promise<VmDefinition> {
  const file: Draft = options.file === undefined ? {} : await readDefinition(options.file);
  const { kernel, initrd, cmdline, disk, nic } = options;
  const boot = { ...(kernel && { kernel }), ...(initrd && { initrd }), ...(cmdline !== undefined && { cmdline }) };
  if (Object.keys(boot).length > 0 && kernel === undefined && file.kernelBoot === undefined) {
    throw new UsageError('--initrd and --cmdline belong to --kernel, which is missing');
  }
  const draft = {
    ...defaults,
    ...file,
    name,
    ...(options.memory !== undefined && { memoryMiB: options.memory }),
    ...(options.vcpus !== undefined && { vcpus: options.vcpus }),
    ...(options.cpuModel !== undefined && { cpuModel: options.cpuModel }),
    ...(options.machine !== undefined && { machine: options.machine }),
    ...(options.encryption !== undefined && { encryption: options.encryption }),
    ...(Object.keys(boot).length > 0 && { kernelBoot: { ...file.kernelBoot, ...boot } }),
    ...(disk && { disks: disk.map(parseDisk) }),
    nics: withMacs(name, nic ? nic.map(parseNic) : file.nics),
  };
  const definition: unknown = Default(VmDefinition, draft);
  const errors = [...Errors(VmDefinition, definition)];
  if (errors.length > 0) {
    const words = errors.map(({ instancePath, message }) => `${instancePath.slice(1).replaceAll('/', '.') || 'it'} ${message}`);
    throw new UsageError(`the definition of ${name} is not right: ${[...new Set(words)].join('; ')}`);
  }
  return definition as VmDefinition; // there was no error against this very schema
}

const withMacs = (name: string, nics: unknown): unknown =>
  Array.isArray(nics) ? nics.map((nic: object, index) => ({ mac: macFor(name, index), ...nic })) : (nics ?? []);
