/**
 * Many command lines in one process of their own, for tests that have many: starting a process takes most of a command's time. Reads a
 * JSON array of arrays of words from standard input, writes one of {status, stdout, stderr}. What a person sees is under test elsewhere.
 */
import { text } from 'node:stream/consumers';
import { run } from '../run.ts';

const lines: string[][] = JSON.parse(await text(process.stdin));
const write = process.stdout.write.bind(process.stdout);
const ended: { status: number; stdout: string; stderr: string }[] = [];
for (const line of lines) {
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    process[name].write = (chunk: string | Uint8Array): boolean => {
      said[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      return true;
    };
  }
  ended.push({ status: await run(line), ...said });
}
write(JSON.stringify(ended));
