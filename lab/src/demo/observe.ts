/** One migration, with everything that is watched while it happens. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Migration, MigrationOrder } from '@sealift/contract';
import type { MarkerSet } from '../capture/markers.ts';
import { searchCapture } from '../capture/search.ts';
import { Capture } from '../capture/tcpdump.ts';
import type { ManagerClient } from '../lab/api.ts';
import type { Lab } from '../lab/lifecycle.ts';
import { guestName } from '../lab/vm.ts';
import { switchPort } from '../topology/plan.ts';
import type { Workload } from '../workload/client.ts';
import { slotsPerConnection } from '../workload/load.ts';
import type { LoadReport } from '../workload/protocol.ts';
import { connections } from './load-size.ts';
import type { DemoMigration } from './result.ts';

export interface Observation {
  readonly lab: Lab;
  readonly manager: ManagerClient;
  readonly workload: Workload;
  readonly markers: MarkerSet;
  readonly keepCapture: boolean;
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

/** @throws Error when it does not complete, or when the capture is not whole */
export const observeMigration = async (order: MigrationOrder, observation: Observation): Promise<DemoMigration> => {
  const { lab, manager, workload, markers, keepCapture, signal, progress } = observation;
  const file = join(lab.paths.captures, `to-${order.to}${order.clear ? '-clear' : ''}.pcap`);
  // Every packet between the two hosts passes alpha's port once, whichever way it goes.
  const capture = await Capture.start({ namespace: lab.plan.switch, interface: switchPort('mig', 'alpha'), file });
  try {
    await workload.reset();
    const before = await workload.report();
    const ended = await follow(await manager.migrateVm({ params: { vm: guestName }, body: order }, signal), observation);
    const { result } = ended;
    if (ended.phase !== 'completed' || result === undefined) throw new Error(describeFailure(ended));

    progress('writing every slot again, and so reading it, at the destination');
    const after = await writeEverySlot(workload, signal);

    progress('searching the capture');
    await capture.stop();
    const wire = await searchCapture(file, markers);
    if (wire.missingBytes > 0 || wire.unreadablePackets > 0) {
      throw new Error(`the capture is not whole: ${wire.missingBytes} bytes missing, ${wire.unreadablePackets} packets unreadable`);
    }
    return {
      suite: result.suite,
      from: ended.from,
      to: ended.to,
      channels: result.channels,
      migrationMs: result.migrationMs,
      switchOverMs: result.switchOverMs,
      guestGapMs: after.guestGapMs,
      bytesOnWire: result.bytesOnWire,
      throughputMBps: result.throughputMBps,
      acknowledgedWrites: after.acknowledgedWrites - before.acknowledgedWrites,
      lostWrites: after.lostWrites - before.lostWrites,
      wrongValues: after.wrongValues - before.wrongValues,
      capturedBytes: wire.streamBytes,
      markersPlanted: markers.markers.size,
      markersSeen: wire.markersSeen,
      cpuSeconds: result.cpuSeconds,
    };
  } finally {
    await capture.abandon();
    if (!keepCapture) await rm(file, { force: true });
  }
};

/** A guest that has not answered for so long after it was moved will not. */
const silentForMs = 30_000;

const writeEverySlot = async (workload: Workload, signal: AbortSignal): Promise<LoadReport> => {
  const { acknowledgedWrites } = await workload.report();
  // Connections take turns as the guest answers them, not strictly: twice as many make sure of each.
  const enough = acknowledgedWrites + 2 * connections * slotsPerConnection;
  for (;;) {
    const report = await workload.report();
    if (report.acknowledgedWrites >= enough) return report;
    if (report.guestGapMs > silentForMs) {
      throw new Error(`the guest has not answered for ${silentForMs / 1000} s since it was moved; see its serial log`);
    }
    await sleep(50, undefined, { signal });
  }
};

const follow = async (migration: Migration, { manager, signal, progress }: Observation): Promise<Migration> => {
  let last = migration;
  for await (const event of manager.watchMigration({ params: { migration: migration.id } }, signal)) {
    last = event;
    progress(describeProgress(event));
  }
  return last;
};

const describeProgress = ({ phase, progress }: Migration): string => {
  if (progress === undefined || progress.bytesOnWire === 0) return phase;
  const { ram, throughputMBps, bytesOnWire } = progress;
  const carried = `${(bytesOnWire / 1e6).toFixed(0)} MB on the wire`;
  // What is left is asked for while QEMU copies, and says nothing later.
  if (phase !== 'copying') return `${phase}: ${carried}`;
  return `copying, pass ${ram.passes}: ${(ram.remaining / 1e6).toFixed(0)} MB of memory left, ${carried}, ${throughputMBps.toFixed(0)} MB/s`;
};

const describeFailure = ({ id, phase, failure }: Migration): string =>
  `the migration ended as "${phase}"${failure ? `: ${failure.message} (${failure.code})` : ''}; its id is ${id}`;
