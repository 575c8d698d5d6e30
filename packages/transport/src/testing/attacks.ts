/** What an attacker's scripts are put together from. */
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

/** Holds back one unit until the other is there, and gives each the other's place. */
export function exchanged(one: Which, other: Which): Attack {
  const first = Promise.withResolvers<Buffer>();
  const second = Promise.withResolvers<Buffer>();
  const place = (which: Which, own: (bytes: Buffer) => void, theirs: Promise<Buffer>) =>
    attackOn(which, ({ bytes, wire }) => {
      own(bytes);
      return Promise.race([theirs, wire.stall()]);
    });
  const attacks = [place(one, first.resolve, second.promise), place(other, second.resolve, first.promise)];
  return (unit, attacker) => attacks.map((attack) => attack(unit, attacker)).find((result) => result !== undefined);
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
