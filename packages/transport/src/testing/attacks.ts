/** What an attacker's scripts are put together from. */
import type net from 'node:net';
import type { Attack, Unit } from './attacker.ts';

/** Which units an attack is for; what is left out matches anything. */
export type Which = Partial<Pick<Unit, 'direction' | 'type' | 'sequence'>> & { readonly channel?: number };

const matches = (unit: Unit, { channel, ...rest }: Which): boolean =>
  (channel === undefined || unit.wire.channel === channel) &&
  Object.entries(rest).every(([name, value]) => unit[name as keyof typeof rest] === value); // the keys are those of Which

/** Attacks the first `times` units that match, and lets everything else through. */
export function attackOn(which: Which, attack: Attack, times = 1): Attack {
  let done = 0;
  return (unit, attacker) => {
    if (done >= times || !matches(unit, which)) return undefined;
    done++;
    return attack(unit, attacker);
  };
}

/** @param bit counted from the first byte's highest */
export function flipped(bytes: Uint8Array, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
  return copy;
}

/** In the attack's place: nothing. */
export const nothing: Buffer = Buffer.alloc(0);

/** Several attacks at once: each unit is for the first that wants it. */
export function together(...attacks: readonly Attack[]): Attack {
  return (unit, attacker) => {
    for (const attack of attacks) {
      const result = attack(unit, attacker);
      if (result !== undefined) return result;
    }
    return undefined;
  };
}

/** Holds back one unit until the other is there, and gives each the other's place. */
export function exchanged(one: Which, other: Which): Attack {
  const first = Promise.withResolvers<Buffer>();
  const second = Promise.withResolvers<Buffer>();
  const place = (which: Which, own: (bytes: Buffer) => void, theirs: Promise<Buffer>) =>
    attackOn(which, ({ bytes, wire }) => {
      own(bytes);
      return Promise.race([theirs, wire.stall()]);
    });
  return together(place(one, first.resolve, second.promise), place(other, second.resolve, first.promise));
}

/** Keeps the matching unit and sends it behind the next one of its direction. */
export function late(which: Which): Attack {
  let kept: Unit | undefined;
  const keep = attackOn(which, (unit) => {
    kept = unit;
    return nothing;
  });
  return (unit, attacker) => {
    if (kept?.wire === unit.wire && kept.direction === unit.direction) {
      const both = Buffer.concat([unit.bytes, kept.bytes]);
      kept = undefined;
      return both;
    }
    return keep(unit, attacker);
  };
}

/**
 * From the matching unit on, nothing goes through on any connection, in no direction, and no connection ends.
 *
 * @param share how many bytes of that unit still go
 */
export function silence(which: Which, share: (length: number) => number): Attack {
  let silent = false;
  return (unit) => {
    if (!silent && !matches(unit, which)) return undefined;
    if (!silent) unit.wire.send(unit.direction, unit.bytes.subarray(0, share(unit.bytes.length)));
    silent = true;
    return unit.wire.stall();
  };
}

/** Sends bytes on a connection of the attacker's own. @returns everything that comes until the other end closes */
export async function answerTo(socket: net.Socket, sent: readonly Uint8Array[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part)).on('end', () => socket.end());
  for (const bytes of sent) if (socket.writable) socket.write(bytes);
  // A reset is as good an end as any.
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(parts);
}
