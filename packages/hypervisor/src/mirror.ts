/**
 * What QEMU does for a disk that moves with its VM (qapi/block-core.json, qapi/block-export.json): the source's mirrors what the guest has on it and
 * writes to it to an NBD server, the destination's lets an NBD client write to a disk that its guest does not use yet. Seen on 7.2:
 *
 *   blockdev-mirror, sync=full        the target is zeroed first, by WRITE_ZEROES; then every allocated cluster; what the guest writes meanwhile comes again
 *   BLOCK_JOB_READY                   target and disk are the same, but for what is on its way; the job goes on
 *   block-job-cancel, then            what is on its way is sent, then BLOCK_JOB_COMPLETED, with `error` where that failed; the guest keeps its disk
 *   block-job-cancel with force       BLOCK_JOB_CANCELLED, or BLOCK_JOB_COMPLETED with `error`; nothing is waited for but requests under way
 *   the NBD server goes away          BLOCK_JOB_ERROR, then BLOCK_JOB_COMPLETED with `error`; the guest runs on
 *
 * A server that takes requests and does not answer holds up QEMU's main loop as soon as anything waits for the job, force or not: break its connection.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { checkSocketPath } from './command-line.ts';
import { isRecord } from './qmp/codec.ts';
import { QmpError } from './qmp/error.ts';
import type { Monitor } from './qmp/monitor.ts';
import type { ExecuteOptions } from './qmp/vocabulary.ts';

/** The block node of a VM's disk, by its place in the definition: see {@link commandLine}. */
export const diskNode = (index: number): string => `disk${index}`;

/** Of everything that is made here in a QEMU: so that who finds it, after a restart, knows whose it is. */
const prefix = 'sealift-mirror-';
const mirrorName = (index: number): string => `${prefix}${index}`;

/**
 * The disk as its guest sees it, in bytes.
 * @throws QmpError `command` where QEMU has no such disk
 */
export async function diskSize(monitor: Monitor, index: number, options?: ExecuteOptions): Promise<number> {
  for (const node of await monitor.execute('query-named-block-nodes', { flat: true }, options)) {
    if (node['node-name'] !== diskNode(index)) continue;
    const size = isRecord(node.image) ? node.image['virtual-size'] : undefined;
    if (typeof size === 'number') return size;
  }
  throw new QmpError('command', `QEMU has no block node ${diskNode(index)}`);
}

/** Lets NBD clients of a unix socket write to disks, each as the export {@link diskNode}. The guest must not run. */
export async function exportDisks(monitor: Monitor, unixPath: string, indexes: readonly number[], options?: ExecuteOptions): Promise<void> {
  checkSocketPath(unixPath);
  await monitor.execute('nbd-server-start', { addr: { type: 'unix', data: { path: unixPath } } }, options);
  for (const node of indexes.map(diskNode)) {
    await monitor.execute(
      'block-export-add',
      { type: 'nbd', id: `sealift-${node}`, 'node-name': node, name: node, writable: true },
      options,
    );
  }
}

/** Ends what {@link exportDisks} began; everything written before is with the disks. Idempotent. */
export async function unexportDisks(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('nbd-server-stop', undefined, options).catch((error: unknown) => {
    if (!(error instanceof QmpError) || error.code !== 'command') throw error; // it is not running
  });
  // The exports end behind the answer, and until then nobody else may write to their disks.
  while ((await monitor.execute('query-block-exports', undefined, options)).some(({ id }) => id.startsWith('sealift-'))) await sleep(1);
}

/**
 * Begins to mirror a disk to the NBD server that listens on a unix socket, which has an export of the disk's name and size.
 * @param sizeBytes the disk's
 * @param bytesPerSecond as {@link limitMirror}
 */
export async function startMirror(
  monitor: Monitor,
  index: number,
  sizeBytes: number,
  bytesPerSecond: number,
  unixPath: string,
  options?: ExecuteOptions,
): Promise<void> {
  checkSocketPath(unixPath);
  const name = mirrorName(index);
  await monitor.execute(
    'blockdev-add',
    {
      driver: 'nbd',
      'node-name': name,
      server: { type: 'unix', path: unixPath },
      export: diskNode(index),
      // Holes stay holes.
      discard: 'unmap',
    },
    options,
  );
  await monitor.execute(
    'blockdev-mirror',
    {
      'job-id': name,
      device: diskNode(index),
      target: name,
      sync: 'full',
      'copy-mode': 'background',
      'on-source-error': 'report',
      'on-target-error': 'report',
      speed: bytesPerSecond,
      granularity: granularityOf(sizeBytes),
      'buf-size': mirrorBufferBytes,
    },
    options,
  );
}
/**
 * What a guest writes is sent in pieces of this size at least: by QEMU's own choice, 64 KiB, a database's scattered pages of 8 KiB cost eight times
 * their size, and a thin raw disk arrives fatter than it was. Its map of the disk has a bit for each.
 */
function granularityOf(sizeBytes: number): number {
  let granularity = 4096;
  while (sizeBytes / granularity > 2 ** 26 && granularity < 64 * 2 ** 20) granularity *= 2;
  return granularity;
}

/** QEMU's own choice is 16 MiB at most; its 16 requests under way share it. */
const mirrorBufferBytes = 16 * 1024 * 1024;

export interface MirrorState {
  readonly index: number;
  /** Everything is there but what is on its way. */
  readonly ready: boolean;
  /** Bytes that have to be copied in all, as known so far: what the guest writes again is added. */
  readonly total: number;
  readonly copied: number;
}

/** The mirrors that run, in no order. */
export async function queryMirrors(monitor: Monitor, options?: ExecuteOptions): Promise<MirrorState[]> {
  const jobs = await monitor.execute('query-block-jobs', undefined, options);
  return jobs
    .filter(({ device }) => device.startsWith(prefix))
    .map(({ device, ready, len, offset }) => ({ index: Number(device.slice(prefix.length)), ready, total: len, copied: offset }));
}

/** What happened to a mirror. `ended` with an error: not everything is at the target. */
export type MirrorEvent =
  | { readonly index: number; readonly type: 'ready' }
  | { readonly index: number; readonly type: 'ended'; readonly error: string | undefined };

/** @returns what ends it */
export function onMirrorEvent(monitor: Monitor, listener: (event: MirrorEvent) => void): () => void {
  return monitor.onEvent(({ name, data }) => {
    const job = data.device;
    if (job === undefined || !job.startsWith(prefix)) return;
    const index = Number(job.slice(prefix.length));
    if (name === 'BLOCK_JOB_READY') listener({ index, type: 'ready' });
    else if (name === 'BLOCK_JOB_COMPLETED') listener({ index, type: 'ended', error: data.error });
    else if (name === 'BLOCK_JOB_CANCELLED') listener({ index, type: 'ended', error: 'it was cancelled' });
  });
}

/** Tells a mirror that is ready to send what is on its way and end; its end is told by {@link onMirrorEvent}. @throws QmpError `command` where there is none */
export async function finishMirror(monitor: Monitor, index: number, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('block-job-cancel', { device: mirrorName(index), force: false }, options);
}

/** At any time. 0 is without limit. @throws QmpError `command` where there is no such mirror */
export async function limitMirror(monitor: Monitor, index: number, bytesPerSecond: number, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('block-job-set-speed', { device: mirrorName(index), speed: bytesPerSecond }, options);
}

/**
 * Ends every mirror in whatever state, and removes what they had, also of an agent that is gone. Who answers them must have broken their
 * connections. Idempotent.
 */
export async function clearMirrors(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  const unlessGone = (error: unknown): void => {
    if (!(error instanceof QmpError) || error.code !== 'command') throw error; // it ended in that moment
  };
  for (let mirrors = await queryMirrors(monitor, options); mirrors.length > 0; mirrors = await queryMirrors(monitor, options)) {
    for (const { index } of mirrors) {
      await monitor.execute('block-job-cancel', { device: mirrorName(index), force: true }, options).catch(unlessGone);
    }
    await sleep(5);
  }
  const nodes = await monitor.execute('query-named-block-nodes', { flat: true }, options);
  for (const name of nodes.map((node) => node['node-name']).filter((each) => each?.startsWith(prefix))) {
    if (name !== undefined) await monitor.execute('blockdev-del', { 'node-name': name }, options).catch(unlessGone);
  }
}
