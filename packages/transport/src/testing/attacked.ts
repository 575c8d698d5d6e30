/** A pair of sessions that talk, with an attacker on the wire between them. */
import assert from 'node:assert/strict';
import type { Suite } from '../constants.ts';
import type { FailureCode } from '../errors.ts';
import type { Transport } from '../transport.ts';
import { type Attack, Attacker } from './attacker.ts';
import { Conversation } from './conversation.ts';
import { type Heard, openPair, type Pair } from './pair.ts';

export interface AttackedOptions {
  readonly suite?: Suite;
  /** The source's and the destination's, which outlive the pair; by default it makes its own. */
  readonly transports?: readonly [source: Transport, destination: Transport];
}

export class Attacked implements AsyncDisposable {
  readonly attacker: Attacker;
  readonly pair: Pair;
  readonly talk: Conversation;

  private constructor(attacker: Attacker, pair: Pair) {
    this.attacker = attacker;
    this.pair = pair;
    this.talk = new Conversation(pair);
  }

  /** Channel 0 and two streams. */
  static async open(attack: Attack, options: AttackedOptions = {}): Promise<Attacked> {
    let attacker: Attacker | undefined;
    const { promise: opened, resolve } = Promise.withResolvers<void>();
    /** A session that fails before the pair is there would fail the pair. */
    const patient: Attack = async (unit, on) => {
      if (unit.sequence >= 0) await opened;
      return attack(unit, on);
    };
    const between = async (address: { host: string; port: number }) => {
      attacker = await Attacker.open(address, patient);
      return attacker.address;
    };
    try {
      const pair = await openPair({ channels: 3, between, ...options });
      if (!attacker) throw new Error('nobody came between');
      return new Attacked(attacker, pair);
    } catch (error) {
      await attacker?.[Symbol.asyncDispose]();
      throw error;
    } finally {
      resolve();
    }
  }

  /** The attack changed nothing. */
  async completes(): Promise<void> {
    const { pair, talk } = this;
    const failure = (heard: Heard) => heard.until(({ failures }) => failures.length > 0).then(() => heard.failures[0]);
    const completed = Promise.all([talk.completed, talk.sent]).then(() => undefined);
    const failed = await Promise.race([completed, failure(pair.sourceHeard), failure(pair.destinationHeard)]);
    assert.equal(failed, undefined, failed?.message);
    assert.ok(talk.ran);
    talk.assertWhole();
  }

  /**
   * One side notices. It aborts as its agent would, and the other learns of it.
   *
   * @param codes one of these
   */
  async fails(at: 'source' | 'destination', codes: readonly FailureCode[]): Promise<void> {
    const { pair, talk } = this;
    const sides = [
      { session: pair.source, heard: pair.sourceHeard },
      { session: pair.destination, heard: pair.destinationHeard },
    ] as const;
    const [here, there] = at === 'source' ? sides : ([sides[1], sides[0]] as const);
    await Promise.race([
      here.heard.until(({ failures }) => failures.length > 0),
      talk.completed.then(() => assert.fail('it went through unnoticed')),
    ]);
    const [failure] = here.heard.failures;
    assert.ok(failure && codes.includes(failure.code), `${failure?.code}: ${failure?.message}`);
    await here.session.abort();
    // It may have had everything that it needs, and be at its end.
    await Promise.race([
      there.heard.until(({ failures, control }) => failures.length > 0 || control.some(({ type }) => type === 'aborted')),
      there.session.ended.catch(() => there.heard.until(({ failures }) => failures.length > 0)),
    ]);
    await there.session.drop();
    assert.equal(here.heard.failures.length, 1);
    assert.ok(there.heard.failures.length <= 1);
    talk.assertPrefixes();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pair[Symbol.asyncDispose]();
    await this.attacker[Symbol.asyncDispose]();
  }
}
