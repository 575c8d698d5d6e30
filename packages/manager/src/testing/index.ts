/** What other packages' tests may use of the manager's. */
export { type AgentUnderTest, agentCompliance } from './agent-compliance.ts';
