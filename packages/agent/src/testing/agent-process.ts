/** An agent as a process of its own that moves nothing: `agent-process.ts OPTIONS-JSON`. For tests that kill it. */
import { CannotStart, unavailable } from '../cannot-start.ts';
import { createLog } from '../log.ts';
import { checkOptions } from '../options.ts';
import { runAgent } from '../run.ts';
import { FakeAttempts } from './attempts.ts';

try {
  const agent = await runAgent(
    checkOptions(JSON.parse(process.argv[2] ?? '{}')),
    (host) => new FakeAttempts(host),
    '0.0.0-test',
    createLog({ daemon: 'agent' }, 'debug'),
  );
  process.once('SIGTERM', () => void agent.stop().then(() => process.exit(0)));
} catch (error) {
  if (!(error instanceof CannotStart)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(unavailable);
}
