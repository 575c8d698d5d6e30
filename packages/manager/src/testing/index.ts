/** What other packages' tests may use of the manager's. */
export { type AgentUnderTest, agentCompliance } from './agent-compliance.ts';
export { complying } from './complying.ts';
export { definitionOf, migrationOf } from './records.ts';
