/** One move of a VM with an attacker between the hosts, and with an ear at the destination's QEMU. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AttemptReport, MigrationSpec } from '@sealift/contract';
import { isAlive, type ProcessId } from '@sealift/hypervisor';
import { formatAddress, parseAddress } from '@sealift/transport';
import { type Attack, Attacker, MiniDirection, type Wire } from '@sealift/transport/testing';
import { follow, order } from './order.ts';
import { Tee } from './tee.ts';
import type { Ends, TwoHosts } from './two-hosts.ts';

export interface AttackedMoveOptions extends Ends {
  readonly hosts: TwoHosts;
  readonly vm: string;
  readonly spec: MigrationSpec;
  readonly attack: Attack;
  /** What the destination is told in the place of `spec`. */
  readonly told?: MigrationSpec;
  /** Done when both are accepted. */
  readonly during?: () => Promise<unknown>;
  /** When the source is followed no longer, where it is not at its end. */
  readonly until?: (source: AttemptReport) => boolean;
}

export interface AttackedMove {
  /** Both reports at their end. */
  readonly source: AttemptReport;
  readonly destination: AttemptReport;
  /** Both failures in words, for assertions. */
  readonly said: string;
  /** Closed, but it remembers every unit that came. */
  readonly attacker: Attacker;
  /** Is the QEMU there that was to have the VM? */
  readonly destinationQemu: boolean;
  /** Who let the VM run, in order: each time that a QEMU said so. */
  readonly ran: readonly (keyof Ends)[];
  /** What reached the destination's QEMU is, stream by stream, what the source sent, from the beginning to some point. */
  readonly received: 'prefix' | 'everything';
}

/**
 * @throws AssertionError where the destination's QEMU got a byte that the source did not send in that place
 * @throws AggregateError with what a script has thrown
 */
export async function attackedMove(options: AttackedMoveOptions): Promise<AttackedMove> {
  const { hosts, source, destination, vm, spec, told = spec } = options;
  let attacker: Attacker | undefined;
  let tee: Tee | undefined;
  let qemu: ProcessId | undefined;
  const ran: (keyof Ends)[] = [];
  const listen = (end: keyof Ends) =>
    options[end].host.vms.vm(vm).monitor.onEvent(({ name }) => {
      if (name === 'RESUME') ran.push(end);
    });
  try {
    const between = async ([endpoint = '']: readonly string[]) => {
      attacker = await Attacker.open(parseAddress(endpoint), options.attack);
      tee = await Tee.on(join(destination.host.runDirectory, spec.migration, 'in'));
      qemu = destination.host.vms.vm(vm).process;
      for (const end of ['source', 'destination'] as const) listen(end);
      return [formatAddress(attacker.address)];
    };
    await order(source, destination, vm, spec, between, told);
    const [at, to] = await Promise.all([
      follow(source, spec.migration, options.until),
      follow(destination, spec.migration),
      options.during?.(),
    ]);
    if (!attacker || !tee || !qemu) throw new Error('nobody came between');
    const sent = await sentOn(attacker.wires, hosts, spec);
    const received = assertPrefixes(await tee.received(), sent);
    const said = `source: ${at.failure?.message}; destination: ${to.failure?.message}`;
    return { source: at, destination: to, said, attacker, destinationQemu: await isAlive(qemu), ran, received };
  } finally {
    await tee?.[Symbol.asyncDispose]();
    await attacker?.[Symbol.asyncDispose]();
  }
}

const [data, uuidHyphen] = [0x02, /-/g];

/** What QEMU sent, channel by channel, as far as it came to the attacker: opened with the key log by the protocol's second reader. */
async function sentOn(wires: readonly Wire[], hosts: TwoHosts, spec: MigrationSpec): Promise<Buffer[]> {
  const lines = (await readFile(hosts.keylog.file, 'utf8')).split('\n').map((line) => line.split(' '));
  const migration = spec.migration.replace(uuidHyphen, '');
  const sent: Buffer[] = [];
  for (let channel = 1; channel < spec.channels; channel++) {
    const parts = wires
      .filter((wire) => wire.channel === channel)
      .map((wire) => wire.came['to destination'].filter(({ sequence }) => sequence >= 0));
    const records = parts.find((units) => units.length > 0) ?? [];
    const place = [migration, spec.attempt, channel, 'source-to-destination', 0].join(' ');
    const secret = lines.find(([, ...words]) => words.slice(0, 5).join(' ') === place)?.at(-1);
    if (records.length === 0) {
      sent.push(Buffer.alloc(0));
      continue;
    }
    assert.ok(secret, `the key log has no secret of channel ${channel}`);
    const { suite } = spec;
    const opener = new MiniDirection(Buffer.from(secret, 'hex'), { suite, ...(hosts.epochBits && { epochBits: hosts.epochBits }) });
    const opened = records.map(({ bytes }) => opener.open(bytes));
    sent.push(Buffer.concat(opened.filter(({ type }) => type === data).map(({ payload }) => payload)));
  }
  return sent;
}

/** Streams are told apart by what is in them, the longest first; only the main one's place among the connections is fixed. */
function assertPrefixes(received: readonly Buffer[], sent: readonly Buffer[]): 'prefix' | 'everything' {
  const [main] = received;
  const isPrefix = (stream: Buffer, of: Buffer | undefined) => of !== undefined && stream.equals(of.subarray(0, stream.length));
  if (main) assert.ok(isPrefix(main, sent[0]), 'QEMU got on its main stream what was never sent there');
  const open = sent.slice(1);
  for (const stream of received.slice(1).sort((a, b) => b.length - a.length)) {
    const at = open.findIndex((each) => isPrefix(stream, each));
    assert.ok(at >= 0, 'QEMU got what was never sent');
    open.splice(at, 1);
  }
  const count = (streams: readonly Buffer[]) => streams.reduce((sum, { length }) => sum + length, 0);
  return count(received) === count(sent) ? 'everything' : 'prefix';
}
