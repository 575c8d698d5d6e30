/** Definitions of VMs on disk: each is there whole or not at all, whenever the host loses its power. */
import { constants } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VmDefinition } from '@sealift/contract';
import { type Static, Type } from 'typebox';
import { Check } from 'typebox/value';
import { type VmPaths, vmPaths } from './paths.ts';

/** What this host keeps of a VM. */
export const VmRecord = Type.Object(
  {
    definition: VmDefinition,
    /** The migration that is to bring it here: until adopted, it is not this host's. */
    incoming: Type.Optional(Type.String()),
    /** Why it is not running though nobody stopped it. */
    crashed: Type.Optional(Type.String()),
    /** It is being removed: what is left of it goes at the next start of the agent, and it is never run again. */
    leaving: Type.Optional(Type.Literal(true)),
    /**
     * Its disks in pools are removed with it: all of them where somebody has ordered its removal; `own`, those that only this host has, where they
     * went with it to another host, or were made for one that did not come.
     */
    disksToo: Type.Optional(Type.Union([Type.Literal(true), Type.Literal('own')])),
  },
  { additionalProperties: false },
);
export type VmRecord = Static<typeof VmRecord>;

/** @throws the system's error, such as ENOSPC; the record before then still stands */
export async function saveRecord(paths: VmPaths, record: VmRecord): Promise<void> {
  await mkdir(paths.stateDirectory, { recursive: true, mode: 0o700 });
  const temporary = `${paths.definition}.new`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(record, undefined, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, paths.definition);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(paths.stateDirectory);
  await syncDirectory(dirname(paths.stateDirectory));
}

/** Removes the state directory, the record first. Nothing happens where there is none. */
export async function removeRecord(paths: VmPaths): Promise<void> {
  await rm(paths.definition, { force: true });
  await rm(paths.stateDirectory, { recursive: true, force: true });
  await syncDirectory(dirname(paths.stateDirectory));
}

/**
 * Every VM of a state directory. A directory without a record is what a crash left of a VM that was never acknowledged.
 * @throws Error naming the file that does not hold what was written
 */
export async function loadRecords(state: string): Promise<VmRecord[]> {
  const directory = join(state, 'vms');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const records: VmRecord[] = [];
  for (const name of (await readdir(directory)).sort()) {
    const file = vmPaths(state, '/', name).definition;
    await rm(`${file}.new`, { force: true }); // a crash in the middle of saveRecord
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) continue;
      throw error;
    }
    const record = parse(text);
    if (!Check(VmRecord, record) || record.definition.name !== name) {
      throw new Error(
        `${file} does not hold the definition of a VM; restore it, or move ${dirname(file)} away if the VM is no longer wanted`,
      );
    }
    records.push(record);
  }
  return records;
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
