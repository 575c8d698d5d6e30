/** A double of Attempts: it moves nothing, and says what it was asked. */
import { type AttemptReport, type OutgoingRequest, SealiftError, type SettleAnswer } from '@sealift/contract';
import type { AgentHost, Attempts } from '../attempts.ts';

export class FakeAttempts implements Attempts {
  readonly host: AgentHost;
  /** What {@link watch} yields, one after the other; {@link outgoing} lets an attempt pass through all of a good one's life. */
  readonly reports: AttemptReport[] = [];
  recovered = false;

  constructor(host: AgentHost) {
    this.host = host;
  }

  async recover(): Promise<void> {
    this.recovered = true;
  }

  async close(): Promise<void> {}

  async offerKey() {
    return { publicKey: Buffer.alloc(32, 7).toString('base64url') };
  }

  async incoming() {
    return { endpoints: this.host.migrationListen.map(({ endpoint }) => endpoint) };
  }

  async outgoing({ spec: { migration, attempt }, vm }: OutgoingRequest): Promise<AttemptReport> {
    const phases = ['preparing', 'copying', 'completed'] as const;
    const reports = phases.map((phase) => ({ migration, attempt, role: 'source' as const, vm, phase }));
    this.reports.push(...reports);
    return reports[0] ?? this.get(migration);
  }

  async get(migration: string): Promise<AttemptReport> {
    const report = this.reports.at(-1);
    if (!report) throw new SealiftError('not_found', `this host knows no migration ${migration}`);
    return report;
  }

  cancel(migration: string): Promise<AttemptReport> {
    return this.get(migration);
  }

  adjust(migration: string): Promise<AttemptReport> {
    return this.get(migration);
  }

  async settle(migration: string): Promise<SettleAnswer> {
    await this.get(migration);
    return {};
  }

  resolve(migration: string): Promise<AttemptReport> {
    return this.get(migration);
  }

  async *watch(migration: string, signal: AbortSignal): AsyncIterable<AttemptReport> {
    await this.get(migration);
    for (const report of this.reports) if (!signal.aborted) yield report;
  }

  migrationOf(): undefined {
    return undefined;
  }
}
