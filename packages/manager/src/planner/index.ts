export { planBalance } from './balance.ts';
export { planDrain } from './drain.ts';
export { limitsOf } from './limits.ts';
export { type Decision, decide, planMigration } from './migration.ts';
