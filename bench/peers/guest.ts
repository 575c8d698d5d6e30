/** A paused guest whose RAM is random bytes, and a QEMU that waits for it: nothing boots, nothing changes, every byte has to be moved. */
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, truncateSync, writeSync } from 'node:fs';
import path from 'node:path';
import { nextEvent, QmpClient } from '../../packages/hypervisor/src/index.ts';
import { Started } from '../measure/processes.ts';

/** Longer than any migration of a benchmark takes; a safeguard against one that hangs. */
const patienceMs = 600_000;

export function writeRandom(file: string, mebibytes: number): void {
  const block = Buffer.alloc(1_048_576);
  const fd = openSync(file, 'wx', 0o600);
  try {
    for (let written = 0; written < mebibytes; written++) writeSync(fd, randomFillSync(block));
  } finally {
    closeSync(fd);
  }
}

export interface Tls {
  /** As `tls-creds-x509` wants it. */
  readonly directory: string;
  readonly hostname: string;
}

export class Guest {
  readonly process: Started;
  readonly #qmp: QmpClient;

  /**
   * Its RAM is allocated, page by page, before this returns.
   *
   * @param memory its RAM's file, mapped privately; made where it is not there, for a guest that is to come
   */
  static async start(
    role: 'source' | 'destination',
    plan: { readonly directory: string; readonly memory: string; readonly mebibytes: number; readonly tls: Tls | undefined },
    stack: AsyncDisposableStack,
  ): Promise<Guest> {
    const { directory, memory, mebibytes, tls } = plan;
    const socket = path.join(directory, `${role}.qmp`);
    if (role === 'destination') {
      closeSync(openSync(memory, 'wx', 0o600));
      truncateSync(memory, mebibytes * 1_048_576);
    }
    const endpoint = role === 'source' ? 'client' : 'server';
    // TLS 1.3 with AES-256-GCM, as everything else here.
    const priority = 'NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM';
    const started = stack.use(
      new Started(`qemu ${role}`, 'qemu-system-x86_64', [
        ...['-accel', 'tcg', '-nodefaults', '-no-user-config', '-display', 'none', '-S'],
        ...['-m', `${mebibytes}M`, '-machine', 'q35,memory-backend=ram'],
        ...['-object', `memory-backend-file,id=ram,size=${mebibytes}M,mem-path=${memory},share=off,prealloc=on`],
        ...(tls ? ['-object', `tls-creds-x509,id=tls,dir=${tls.directory},endpoint=${endpoint},priority=${priority}`] : []),
        ...['-qmp', `unix:${socket},server=on,wait=off`],
        ...(role === 'destination' ? ['-incoming', 'defer'] : []),
      ]),
    );
    await started.makes(socket);
    // It answers only once its RAM is allocated, which takes minutes where the host has to find the pages first.
    const qmp = await QmpClient.connect(socket, { deadlineMs: patienceMs });
    stack.defer(() => qmp.close());
    return new Guest(started, qmp);
  }

  private constructor(started: Started, qmp: QmpClient) {
    this.process = started;
    this.#qmp = qmp;
  }

  /** @param channels of multifd; 0 is the one stream of a migration without */
  async prepare(channels: number, tls: Tls | undefined): Promise<void> {
    const capability = (name: string) => ({ capability: name, state: true });
    await this.#qmp.execute('migrate-set-capabilities', {
      capabilities: [capability('events'), ...(channels > 0 ? [capability('multifd')] : [])],
    });
    await this.#qmp.execute('migrate-set-parameters', {
      // No limit to speak of: QEMU's default is 128 MiB/s.
      'max-bandwidth': 100_000_000_000,
      ...(channels > 0 && { 'multifd-channels': channels }),
      ...(tls && { 'tls-creds': 'tls', 'tls-hostname': tls.hostname }),
    });
  }

  /** @param uri its port may be 0. @returns the port, or 0 of a unix socket */
  async listen(uri: string): Promise<number> {
    await this.#qmp.execute('migrate-incoming', { uri });
    const { 'socket-address': addresses } = await this.#qmp.execute('query-migrate');
    const [first]: unknown[] = Array.isArray(addresses) ? addresses : [];
    return typeof first === 'object' && first !== null && 'port' in first ? Number(first.port) : 0;
  }

  async migrate(uri: string): Promise<void> {
    await this.#qmp.execute('migrate', { uri });
  }

  /** Resolves when this side of the migration is complete. Called before it begins. @throws Error where it fails */
  async completed(): Promise<void> {
    const ended = await nextEvent(
      this.#qmp,
      ({ name, data }) => name === 'MIGRATION' && (data.status === 'completed' || data.status === 'failed'),
      { deadlineMs: patienceMs },
    );
    if (ended.data.status === 'completed') return;
    const { 'error-desc': why } = await this.#qmp.execute('query-migrate');
    throw new Error(`the migration failed at the ${this.process.name}: ${String(why)}`);
  }

  /** What the source says that it sent. */
  async sentBytes(): Promise<number> {
    const { ram } = await this.#qmp.execute('query-migrate');
    return typeof ram === 'object' && ram !== null && 'transferred' in ram ? Number(ram.transferred) : 0;
  }
}
