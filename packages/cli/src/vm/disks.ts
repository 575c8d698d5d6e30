/** Disks and the seed of a definition, as they are written on a command line and in files. */
import { readFileSync } from 'node:fs';
import { UsageError } from '../exit-codes.ts';
import { parseSize } from '../output/units.ts';

const MiB = 2 ** 20;

/**
 * `PATH[,format=raw|qcow2][,shared]`, whose format is the file name's where it is not said: raw unless it ends in .qcow2; or
 * `pool=POOL[,name=NAME][,size=SIZE][,image=IMAGE[,clone]][,format=raw|qcow2][,shared]`.
 */
export function parseDisk(text: string): Record<string, unknown> {
  const [first = '', ...options] = text.split(',');
  const pool = /^pool=(.*)$/.exec(first)?.[1];
  const disk: Record<string, unknown> = pool === undefined ? { path: first, format: first.endsWith('.qcow2') ? 'qcow2' : 'raw' } : { pool };
  const values = pool === undefined ? ['format'] : ['format', 'name', 'size', 'image'];
  disk['shared'] = false;
  for (const option of options) {
    const [, key = '', value = ''] = /^([a-z]+)=(.*)$/.exec(option) ?? [];
    if (option === 'shared' || (option === 'clone' && pool !== undefined)) disk[option] = true;
    else if (values.includes(key)) disk[key] = value;
    else {
      const known = pool === undefined ? 'format=raw, format=qcow2 nor shared' : 'name=, size=, image=, format=, clone nor shared';
      throw new UsageError(`--disk ${text}: "${option}" is neither ${known}`);
    }
  }
  return disk;
}

/**
 * What disks in pools leave out: qcow2, and `disk0` where there is but one. A `size` such as 20Gi becomes `sizeMiB`, rounded up.
 * @throws UsageError
 */
export function withDiskDefaults(disks: unknown): unknown {
  if (!Array.isArray(disks)) return disks ?? [];
  const inPools = disks.filter(isInPool).length;
  return disks.map((disk: unknown) => {
    if (!isInPool(disk)) return disk;
    const { size, ...rest } = disk;
    const bytes = size === undefined ? undefined : parseSize(String(size));
    if (size !== undefined && bytes === undefined)
      throw new UsageError(`size ${size} of a disk is not a size such as 20Gi (2^30) or 20G (10^9)`);
    return {
      ...(inPools === 1 && { name: 'disk0' }),
      format: 'qcow2',
      ...(bytes !== undefined && { sizeMiB: Math.ceil(bytes / MiB) }),
      ...rest,
    };
  });
}

const isInPool = (disk: unknown): disk is Record<string, unknown> => typeof disk === 'object' && disk !== null && 'pool' in disk;

export interface SeedOptions {
  readonly userData?: string;
  readonly metaData?: string;
  readonly networkConfig?: string;
}

/** Reads the files that options name, over what is there; undefined where there is neither. @throws UsageError */
export function seedOver(there: unknown, { userData, metaData, networkConfig }: SeedOptions): unknown {
  const given = Object.entries({ userData, metaData, networkConfig }).flatMap(([key, file]) =>
    file === undefined ? [] : [[key, read(file)]],
  );
  return given.length === 0 ? there : { ...(typeof there === 'object' ? there : {}), ...Object.fromEntries(given) };
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}
