/** The real agent, with real QEMU, is held to the suite that the manager's pretended one is held to. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createLog } from '../packages/agent/src/log.ts';
import { createAttempts } from '../packages/agent/src/migration/index.ts';
import { checkOptions } from '../packages/agent/src/options.ts';
import { runAgent } from '../packages/agent/src/run.ts';
import { bareVm } from '../packages/agent/src/testing/bare-vm.ts';
import { TestAuthority } from '../packages/agent/src/testing/certificates.ts';
import { connectAgent } from '../packages/agent/src/testing/client.ts';
import { isInside, needsRoot, runInNamespace } from '../packages/agent/src/testing/namespace.ts';
import { agentCompliance } from '../packages/manager/src/testing/index.ts';

if (!isInside()) test('the real agent complies', { skip: needsRoot }, () => runInNamespace(fileURLToPath(import.meta.url)));
else {
  agentCompliance('real', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'slc-'));
    const authority = await TestAuthority.create(directory);
    const manager = await authority.issue('manager.sealift');
    const options = checkOptions({
      name: 'alpha',
      state: join(directory, 'state'),
      run: join(directory, 'run'),
      listen: '127.0.0.1:8652',
      migrationListen: ['127.0.0.1:8651'],
      ...(await authority.issue('alpha.agent.sealift')),
      accel: 'tcg',
      qemu: 'qemu-system-x86_64',
    });
    const agent = await runAgent(options, createAttempts, '0.0.0-test', createLog({ daemon: 'agent' }, 'silent'));
    return {
      client: connectAgent('127.0.0.1:8652', 'alpha', manager),
      definition: (name) => bareVm(name, { encryption: 'opportunistic' }),
      close: async () => {
        for (const vm of agent.host.vms.list()) await agent.host.vms.discard(vm);
        await agent.stop();
        await rm(directory, { recursive: true, force: true });
      },
    };
  });
}
