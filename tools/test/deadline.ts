/**
 * Loaded into every test process before its file. node:test's own time limit ends a test, not a process that something keeps open;
 * without this, one forgotten timer or child would hang the whole run.
 */
import { writeSync } from 'node:fs';

const seconds = Number(process.env['SEALIFT_TEST_FILE_SECONDS']);
/** The runner itself loads this too, and runs as long as it must. */
const isTestFile = process.env['NODE_TEST_CONTEXT'] !== undefined;
if (isTestFile && seconds > 0) {
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().join(', ');
    writeSync(2, `${process.argv[1]} did not end within ${seconds} s; still open: ${open}\n`);
    process.exit(1);
  }, seconds * 1000).unref();
}
