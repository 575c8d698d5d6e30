/** `npm run bench -- distance`: what a long line does to a migration of a whole VM, its disk included. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Migration, Vm, VmDefinition } from '@sealift/contract';
import { labOf } from '../../lab/src/lab/lifecycle.ts';
import { lineOf } from '../../lab/src/wan/line.ts';
import type { Figures } from '../measure/figures.ts';
import { runSuite, type Variant } from '../measure/suite.ts';

const sealift = join(import.meta.dirname, '../../bin/sealift');
const MiB = 2 ** 20;
const trips = [0.5, 5, 25, 50, 100, 150] as const;
const quickTrips = [0.5, 150] as const;
const name = 'moved';
const memoryMiB = 256;
const nameOf = (sealed: boolean, rttMs: number): string => `${sealed ? 'sealed' : 'clear'} ${rttMs} ms`;

class Line implements AsyncDisposable {
  readonly #lab = labOf(`d${randomBytes(3).toString('hex')}`);
  #host = 'alpha';

  /** A guest on the first host, with a disk of random data that only that host has. */
  static async up(mebibytes: number): Promise<Line> {
    const line = new Line();
    try {
      await promisify(execFile)(sealift, ['lab', 'up', '--id', line.#lab.id, '--wan', 'rtt=0.5ms']);
      const { definition: web } = await line.#ask<Vm>('vm', 'show', 'web');
      await line.#run('vm', 'stop', 'web', '--force');
      const disk = { pool: 'default', name: 'data', sizeMiB: mebibytes, format: 'raw', shared: false } as const;
      const definition: VmDefinition = { ...web, name, memoryMiB, nics: [], disks: [disk] };
      const file = `${line.#lab.paths.run}/moved.json`;
      await writeFile(file, JSON.stringify(definition));
      await line.#run('vm', 'apply', '-f', file, '--host', 'alpha');
      await line.#fill(mebibytes);
      await line.#run('vm', 'start', name);
      return line;
    } catch (error) {
      await line[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** There, or back. */
  async move(rttMs: number, sealed: boolean, mebibytes: number): Promise<Figures> {
    await lineOf(this.#lab, { rttMs });
    this.#host = this.#host === 'alpha' ? 'bravo' : 'alpha';
    const { id } = await this.#ask<Migration>('vm', 'migrate', name, '--to', this.#host, '--detach', ...(sealed ? [] : ['--clear']));
    await this.#run('migration', 'watch', id);
    const { phase, result, failure } = await this.#ask<Migration>('migration', 'show', id);
    if (!result) throw new Error(`the migration ended as ${phase}: ${failure?.message}`);
    const { migrationMs, switchOverMs, switchOverErrorMs, bytesOnWire, cpuSeconds } = result;
    const cpu = [cpuSeconds.source, cpuSeconds.destination].map((side) => (side ? side.qemu + side.transport : 0));
    return {
      'migration s': migrationMs / 1000,
      'switch-over ms': switchOverMs,
      '± ms': switchOverErrorMs,
      'MB/s': bytesOnWire / 1000 / migrationMs,
      'CPU s/GB': ((cpu[0] ?? 0) + (cpu[1] ?? 0)) / ((mebibytes * MiB) / 1e9),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await promisify(execFile)(sealift, ['lab', 'down', '--id', this.#lab.id]);
  }

  async #fill(mebibytes: number): Promise<void> {
    const { disks } = await this.#ask<Vm>('vm', 'show', name);
    const file = await open(disks?.[0]?.path ?? '', 'r+');
    try {
      for (let at = 0; at < mebibytes; at++) await file.write(randomBytes(MiB), 0, MiB, at * MiB);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async #run(...args: string[]): Promise<string> {
    const env = { ...process.env, SEALIFT_MANAGER: `unix:${this.#lab.paths.managerSocket}` };
    return (await promisify(execFile)(sealift, args, { env, maxBuffer: 64 * MiB })).stdout;
  }

  async #ask<Answer>(...args: string[]): Promise<Answer> {
    return JSON.parse(await this.#run(...args, '--json')) as Answer; // as the contract says
  }
}

export const run = (args: string[]): Promise<number> =>
  runSuite(
    {
      name: 'distance',
      words:
        "Moves a VM with a disk of random data to and fro over the lab's line of 1 Gb/s, sealed and clear, at several round trips. MiB are those of the disk;\n" +
        `its memory of ${memoryMiB} MiB comes on top, most of it zero. The guest does nothing. Needs root.`,
      mebibytes: 1024,
      quick: { rounds: 2, mebibytes: 512 },
      figures: ['migration s', 'switch-over ms', '± ms', 'MB/s', 'CPU s/GB'],
      charted: 'migration s',
      comparisons: [
        ...trips.slice(1).map((rttMs) => ({ variant: nameOf(true, rttMs), to: [nameOf(true, 0.5)], figure: 'migration s' })),
        ...trips.map((rttMs) => ({ variant: nameOf(true, rttMs), to: [nameOf(false, rttMs)], figure: 'migration s' })),
      ],
      within: async ({ mebibytes, quick }, use) => {
        await using line = await Line.up(mebibytes);
        const variants = (quick ? quickTrips : trips).flatMap((rttMs): Variant[] =>
          [true, false].map((sealed) => ({ name: nameOf(sealed, rttMs), measure: () => line.move(rttMs, sealed, mebibytes) })),
        );
        await use(variants);
      },
    },
    args,
  );
