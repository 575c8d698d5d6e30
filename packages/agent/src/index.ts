export type { AgentHost, Attempts, CreateAttempts } from './attempts.ts';
export { agentCommand } from './main.ts';
