/** The limits of a spec, from what an order says of them. */
import { MigrationLimits, type MigrationOrder, SealiftError } from '@sealift/contract';
import { Value } from 'typebox/value';

const defaultMaxDowntimeMs = 300;
const defaultMultifdChannels = 2;

/**
 * What the order leaves out gets its default. `maxDowntimeMs` left out is never below `downtimeMs`: whoever allows a longer switch-over from the
 * beginning has allowed that much.
 *
 * @throws SealiftError `invalid_request` where the order itself puts `maxDowntimeMs` below `downtimeMs`
 */
export function toLimits(order: MigrationOrder['limits'] = {}): MigrationLimits {
  const given = { maxDowntimeMs: defaultMaxDowntimeMs, ...order };
  const limits = Value.Parse(MigrationLimits, Value.Default(MigrationLimits, given));
  const { downtimeMs, maxDowntimeMs } = limits;
  if (maxDowntimeMs >= downtimeMs) return limits;
  if (order.maxDowntimeMs === undefined) return { ...limits, maxDowntimeMs: downtimeMs };
  const message =
    `limits.maxDowntimeMs is ${maxDowntimeMs} ms, which is below limits.downtimeMs, ${downtimeMs} ms: the switch-over budget grows from ` +
    'downtimeMs to maxDowntimeMs; raise maxDowntimeMs, or lower downtimeMs';
  throw new SealiftError('invalid_request', message);
}

/** multifd channels beside the main one that an order means. @throws SealiftError `invalid_request` for any together with post-copy, which goes through one stream */
export function toMultifdChannels({ multifdChannels, limits = {} }: MigrationOrder): number {
  if (!limits.postcopy) return multifdChannels ?? defaultMultifdChannels;
  if (!multifdChannels) return 0;
  const message =
    `the order asks for post-copy and for ${multifdChannels} parallel channels: QEMU sends memory by post-copy through a single stream. ` +
    'Leave out one of the two';
  throw new SealiftError('invalid_request', message);
}
