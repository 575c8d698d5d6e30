/** A network namespace for a test: bridges and taps in it are nobody else's, and go with it. Needs root. */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';

/** A test that hangs fails, so that its clean-up still runs. */
const testTimeoutMs = 120_000;

const inside = 'SEALIFT_TEST_NAMESPACE';

/** Is this process inside the namespace that a test made? */
export const isInside = (): boolean => process.env[inside] !== undefined;

/** Why the test cannot run, or false: what node:test's `skip` takes. */
export const needsRoot = process.getuid?.() === 0 ? false : 'needs root: it makes a network namespace';

/**
 * Runs a test file in a new namespace whose loopback is up, and removes the namespace.
 * @param file whose tests are for {@link isInside} processes
 * @throws Error with everything that it printed, when a test failed
 */
export async function runInNamespace(file: string): Promise<void> {
  const name = `slt-${randomBytes(4).toString('hex')}`;
  execFileSync('ip', ['netns', 'add', name]);
  try {
    execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env; // it would report to our parent
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', `--test-timeout=${testTimeoutMs}`];
    const child = spawn('ip', ['netns', 'exec', name, ...node, file], {
      env: { ...environment, [inside]: name },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let printed = '';
    child.stdout.on('data', (bytes) => {
      printed += bytes;
    });
    child.stderr.on('data', (bytes) => {
      printed += bytes;
    });
    const [status] = await once(child, 'close');
    if (status !== 0) throw new Error(`tests in the namespace failed:\n${printed}`);
  } finally {
    execFileSync('ip', ['netns', 'delete', name]);
  }
}
