export { planBalance } from './balance.ts';
export { planDrain } from './drain.ts';
export { type Limits, limitsOf } from './limits.ts';
export { type Decision, decide, planMigration } from './migration.ts';
export type { Snapshot, SnapshotHost, SnapshotMigration, SnapshotVm } from './types.ts';
