/**
 * Migration primitives over a {@link Monitor}; qapi/migration.json is their source. What order they go in is the agent's matter.
 * Events in the order that QEMU 7.2 sends them (testing/compliance.ts holds it to that):
 *
 *   source                                              destination, with `paused`
 *   MIGRATION setup                                     MIGRATION setup            at migrate-incoming; query-migrate still says `none`
 *   MIGRATION_PASS 1, MIGRATION active                  MIGRATION active           when every channel's first bytes are there
 *   STOP, MIGRATION pre-switchover  `finish-migrate`    …                          stays `inmigrate`
 *   MIGRATION device, MIGRATION_PASS n                  …
 *   MIGRATION completed                                 MIGRATION completed        query-status says `paused` already; no event for that
 *   end of file on every socket, within milliseconds    closes its sockets
 *   `postmigrate`, up to milliseconds after the event   RESUME                     at cont
 *
 * - The source's status is `completed` while query-status may still say `finish-migrate`: wait for `postmigrate` where it matters.
 * - `completed` at the source needs nobody at the other end. Its migrate_cancel then answers well and changes nothing; `cont` resumes it.
 * - A VM that was paused before gives no STOP, arrives `paused`, and after a cancel at `pre-switchover` shows `postmigrate`, without RESUME.
 * - migrate_cancel: MIGRATION cancelling, RESUME if it had stopped, MIGRATION cancelled. The destination says `failed` at end of file and exits with status 1.
 *   With multifd on 7.2 a cancel that finds a channel's thread in a blocked write waits for that write: the peer must read on, or break the connection.
 * - A socket that breaks in `active` gives `failed` within 100 ms, the guest runs on. One that breaks in `pre-switchover` is noticed after migrate-continue only:
 *   MIGRATION failed, RESUME in either order, sometimes without an error text. A destination whose sockets merely fall silent stays in `inmigrate`.
 * - The destination takes the first connection for the main one. Given a multifd channel there, it exits. The order in which the source's connections
 *   are accepted is right; the order in which their first bytes arrive is not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { checkSocketPath } from './command-line.ts';
import { isRecord } from './qmp/codec.ts';
import { QmpError } from './qmp/error.ts';
import { type Monitor, nextEvent } from './qmp/monitor.ts';
import { type ExecuteOptions, type MigrationStatus, migrationStatuses } from './qmp/vocabulary.ts';

export interface MigrationSettings {
  /** multifd channels beside the main one; 0 turns multifd off. Must be the same on both ends: a difference hangs or crashes the destination. */
  readonly multifdChannels: number;
  /** QEMU's `max-bandwidth`; 0 is without limit. */
  readonly bandwidthBytesPerSecond: number;
  /** QEMU's `downtime-limit`: it stops the VM once it expects to send the rest within this time. */
  readonly downtimeMs: number;
  /** How far QEMU may slow the guest, per cent, 0 to 99; 0 is never. */
  readonly maxThrottlePercent: number;
  /** The VM may run at the destination before all of its memory is there. On both ends or neither; never with multifd (7.2 and 10.0 refuse or hang). */
  readonly postcopy?: boolean;
  readonly role: 'source' | 'destination';
}

/** A TB/s. QEMU's default is 128 MiB/s; what 0 means to it has changed between versions. */
export const UNLIMITED_BANDWIDTH = 1e12;

/**
 * Sets every migration capability that this QEMU knows, on or off, and every parameter that sealift depends on, so that no default of
 * whatever version takes part. Before `migrate` or `migrate-incoming`; a QEMU that migrates refuses.
 * @throws QmpError `command` also where QEMU lacks a capability that has to be on
 */
export async function configureMigration(monitor: Monitor, settings: MigrationSettings, options: ExecuteOptions = {}): Promise<void> {
  const source = settings.role === 'source';
  const on = new Set(['events']);
  if (settings.multifdChannels > 0) on.add('multifd');
  if (settings.postcopy) on.add('postcopy-ram');
  if (source) on.add('pause-before-switchover');
  if (source && settings.maxThrottlePercent > 0) on.add('auto-converge');
  // The destination opens its disks and takes their locks at `cont` and no sooner: until the grant they are the source's. Where the source took them
  // back, `cont` at the destination fails for want of the lock.
  if (!source) on.add('late-block-activate');

  const known = (await monitor.execute('query-migrate-capabilities', undefined, options)).map(({ capability }) => capability);
  const missing = [...on].filter((capability) => !known.includes(capability));
  if (missing.length > 0) throw new QmpError('command', `this QEMU does not know the migration capabilities ${missing.join(', ')}`);
  const capabilities = known.map((capability) => ({ capability, state: on.has(capability) }));
  await monitor.execute('migrate-set-capabilities', { capabilities }, options);

  await monitor.execute(
    'migrate-set-parameters',
    {
      'max-bandwidth': bandwidth(settings.bandwidthBytesPerSecond),
      'downtime-limit': settings.downtimeMs,
      ...(settings.multifdChannels > 0 && { 'multifd-channels': settings.multifdChannels }),
      'multifd-compression': 'none',
      'tls-creds': '',
      'tls-hostname': '',
      ...throttling(settings.maxThrottlePercent),
      // A paused destination's announcements are queued and go out with `cont` (seen on 7.2), so they draw no traffic away from a source that may
      // yet resume.
      'announce-initial': 50,
      'announce-max': 550,
      'announce-rounds': 5,
      'announce-step': 100,
    },
    options,
  );
}

/**
 * QEMU's own steps, whatever the version: 20 per cent, then 10 more each time. It looks at the end of a pass, at most once a second, whether the guest has
 * written more than half of what was sent since it last looked, and takes a step at every second such look (seen on 7.2: passes of 0.9 s, a step at
 * every fourth). It never takes one back while it migrates, and lets go of the guest as the migration ends, cancelled ones too. It refuses a first
 * step beyond the limit, and knows no limit of 0.
 */
const throttling = (maxPercent: number) => ({
  'throttle-trigger-threshold': 50,
  'cpu-throttle-initial': Math.min(20, maxPercent || 20),
  'cpu-throttle-increment': 10,
  'cpu-throttle-tailslow': false,
  'max-cpu-throttle': maxPercent || 99,
});

const bandwidth = (bytesPerSecond: number): number => (bytesPerSecond === 0 ? UNLIMITED_BANDWIDTH : bytesPerSecond);

/** At any time, while migrating too. 0 is without limit. */
export async function setBandwidth(monitor: Monitor, bytesPerSecond: number, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('migrate-set-parameters', { 'max-bandwidth': bandwidth(bytesPerSecond) }, options);
}

/** At any time, while migrating too. */
export async function setDowntime(monitor: Monitor, milliseconds: number, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('migrate-set-parameters', { 'downtime-limit': milliseconds }, options);
}

/** How long an earlier migration may take to let go by itself, and then again once it is told to. */
const letGoMs = 5_000;

/**
 * Waits until QEMU is done with an earlier migration, also behind the scenes: it says `failed` or `cancelled` before it is. A `migrate` that comes in
 * between is refused ("duplicate yank instance"), and QEMU 7.2 can crash of it or never migrate again. It never lets go where multifd's sockets broke before
 * their first round was through: its thread waits in multifd_send_sync_main (seen with gdb). The guest runs on all the same.
 * @throws QmpError `timeout`; the guest is as it was
 */
async function untilReleased(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  const holds = async (): Promise<boolean> =>
    (await monitor.execute('query-yank', undefined, options)).some(({ type }) => type === 'migration');
  for (const told of [false, true]) {
    if (told) await monitor.execute('yank', { instances: [{ type: 'migration' }] }, options).catch(() => undefined); // gone in that moment
    for (const begun = performance.now(); performance.now() - begun < letGoMs; await sleep(5)) if (!(await holds())) return;
  }
  throw new QmpError('timeout', 'QEMU has not done with an earlier migration; power the VM off and on again to be able to move it');
}

/** Tells QEMU to connect to a unix socket: once for the main channel, then once for each multifd channel. Failing to connect is a `failed` migration, not an error here. */
export async function startOutgoing(monitor: Monitor, unixPath: string, options?: ExecuteOptions): Promise<void> {
  checkSocketPath(unixPath);
  await untilReleased(monitor, options);
  await monitor.execute('migrate', { uri: `unix:${unixPath}` }, options);
}

/** Tells a QEMU started with `incoming` to listen on a unix socket, which it has bound when this resolves. */
export async function startIncoming(monitor: Monitor, unixPath: string, options?: ExecuteOptions): Promise<void> {
  checkSocketPath(unixPath);
  await monitor.execute('migrate-incoming', { uri: `unix:${unixPath}` }, options);
}

/**
 * Has a migration with `postcopy` stop the VM at its next look and go on by post-copy; one that can end without does. On 7.2, by events:
 *
 *   source                                                   destination
 *   STOP, MIGRATION pre-switchover                           …
 *   MIGRATION postcopy-active         at migrate-continue    MIGRATION postcopy-active: has all but memory; query-status says `paused`
 *   serves pages; query-status stays `finish-migrate`        RESUME at cont; runs, and waits for each page that it touches first
 *   MIGRATION completed, `postmigrate`                       MIGRATION completed, a moment earlier: it has told the source so
 *
 * - A socket that ends in `postcopy-active` gives `postcopy-paused` at both ends. The destination's vCPUs go on until they touch what is missing.
 * - While the source is `postcopy-active` and its socket stands, migrate_cancel and then `cont` make the VM run there as it was when it stopped, also once
 *   all was sent into a destination that is gone; it can migrate again. Out of `postcopy-paused` and `postcopy-recover` migrate_cancel never ends
 *   (`cancelling`), and `cont` is refused for good.
 * - `quit` hangs at a destination that is `postcopy-paused`: kill it.
 */
export async function startPostcopy(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('migrate-start-postcopy', undefined, options);
}

/** Only in `pre-switchover`; QEMU refuses else. */
export async function continueFromPreSwitchover(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('migrate-continue', { state: 'pre-switchover' }, options);
}

/** Answers at once; the migration is over at `cancelled`, for which the peer must read on or break. Without a migration nothing happens. */
export async function cancelMigration(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('migrate_cancel', undefined, options);
}

/** Bytes where nothing else is said. */
export interface RamProgress {
  readonly total: number;
  readonly transferred: number;
  readonly remaining: number;
  readonly dirtyBytesPerSecond: number;
  /** Passes over memory so far: QEMU's `dirty-sync-count`. */
  readonly passes: number;
}

export interface MigrationState {
  readonly status: MigrationStatus;
  /** Absent until QEMU has set up a migration, and on a destination. */
  readonly ram: RamProgress | undefined;
  /** How much auto-converge slows the guest; 0 where it does not. */
  readonly throttlePercent: number;
  /** QEMU's words for why the migration failed. */
  readonly error: string | undefined;
}

/** @throws QmpError `protocol` where QEMU names a status that nobody here knows */
export async function queryMigration(monitor: Monitor, options?: ExecuteOptions): Promise<MigrationState> {
  const info = await monitor.execute('query-migrate', undefined, options);
  const { status = 'none', ram, 'error-desc': error, 'cpu-throttle-percentage': throttle } = info; // no status before the first migration
  return {
    status: toMigrationStatus(status),
    ram: isRecord(ram) ? toRam(ram) : undefined,
    throttlePercent: numberOf(throttle),
    error: typeof error === 'string' ? error : undefined,
  };
}

export function toMigrationStatus(value: unknown): MigrationStatus {
  const status = migrationStatuses.find((known) => known === value);
  if (status === undefined) throw new QmpError('protocol', `QEMU reports an unknown migration status, ${JSON.stringify(value)}`);
  return status;
}

function toRam(info: Readonly<Record<string, unknown>>): RamProgress {
  const { total, transferred, remaining, 'dirty-pages-rate': dirtyPages, 'page-size': pageSize, 'dirty-sync-count': passes } = info;
  return {
    total: numberOf(total),
    transferred: numberOf(transferred),
    remaining: numberOf(remaining),
    dirtyBytesPerSecond: numberOf(dirtyPages) * numberOf(pageSize),
    passes: numberOf(passes),
  };
}

const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);

/**
 * Resolves with the migration's status once it is one of those wished for. It is heard from events and, for those that came earlier, asked
 * once. `deadlineMs` holds for each of the two.
 * @throws QmpError `timeout`, `aborted`, `disconnected`
 */
export async function untilMigration(
  monitor: Monitor,
  wanted: readonly MigrationStatus[],
  options: ExecuteOptions = {},
): Promise<MigrationStatus> {
  const enough = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, enough.signal]) : enough.signal;
  const isWanted = (status: unknown): boolean => wanted.some((one) => one === status);
  const heard = nextEvent(monitor, (event) => event.name === 'MIGRATION' && isWanted(event.data.status), { ...options, signal });
  heard.catch(() => {}); // that of an answer that came first
  try {
    const { status } = await queryMigration(monitor, options);
    return isWanted(status) ? status : toMigrationStatus((await heard).data.status);
  } finally {
    enough.abort();
  }
}
