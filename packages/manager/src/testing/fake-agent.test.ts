import { AgentLink } from '../agents/link.ts';
import { agentCompliance } from './agent-compliance.ts';
import { TestCa } from './certificates.ts';
import { FakeAgent } from './fake-agent.ts';
import { definitionOf } from './records.ts';

agentCompliance('pretended', async () => {
  const ca = await TestCa.create();
  const agent = await FakeAgent.start('alpha', await ca.issue('alpha.agent.sealift'), new Map());
  const link = new AgentLink('alpha', agent.endpoint, await ca.issue('manager.sealift'));
  return {
    client: link.client,
    definition: definitionOf,
    close: async () => {
      await link.close();
      await agent.stop();
    },
  };
});
