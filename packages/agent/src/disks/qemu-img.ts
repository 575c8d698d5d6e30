/** qemu-img (QEMU's docs/tools/qemu-img.rst), and what it says in the words of an administrator. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { SealiftError } from '@sealift/contract';
import { reasonOf } from '../cannot-start.ts';
import type { Pools } from './pools.ts';

const run = promisify(execFile);

/** Resolves when it is done; there is no deadline, for a copy takes as long as it takes. Ended with `signal`. @throws what {@link asSealift} understands */
export async function qemuImg(args: readonly string[], signal: AbortSignal): Promise<void> {
  await run('qemu-img', args, { signal });
}

const full = ['ENOSPC', 'EDQUOT'];

/**
 * @param what finishes a sentence, such as `disk data of VM web-1`
 * @returns the error itself where it is one of ours already
 */
export async function asSealift(error: unknown, what: string, pool: string, pools: Pools): Promise<SealiftError> {
  if (error instanceof SealiftError) return error;
  const where = `in pool ${pool} of host ${pools.host}`;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ABORT_ERR') return new SealiftError('cancelled', `${what} was not made ${where}: the agent stops`, { cause: error });
  if (code === 'ENOENT' && error instanceof Error && 'path' in error && error.path === 'qemu-img') {
    const message = `${what} cannot be made ${where}: that takes qemu-img (Debian's package qemu-utils), which is not on the host`;
    return new SealiftError('hypervisor', message, { cause: error });
  }
  const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
  if (full.includes(code) || /No space left on device|Disk quota exceeded/.test(said)) {
    return noRoom(what, pool, pools, 'it became full meanwhile; nothing of it is left there', error);
  }
  return new SealiftError('hypervisor', `${what} could not be made ${where}: ${said || reasonOf(error)}`, { cause: error });
}

/** @param how finishes the sentence: how much is missing, or since when */
export async function noRoom(what: string, pool: string, pools: Pools, how: string, cause?: unknown): Promise<SealiftError> {
  const { total, available } = await pools.space(pool);
  const figures = `${mib(available)} of ${mib(total)} are free in ${pools.directory(pool)}`;
  const remedy = 'Remove disks or images there, give the pool more, or take another pool or host';
  return new SealiftError('no_room', `${what} has no room in pool ${pool} of host ${pools.host}: ${how}; ${figures}. ${remedy}`, {
    cause,
    details: { pool, availableBytes: available, totalBytes: total },
  });
}

export const mib = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`;
