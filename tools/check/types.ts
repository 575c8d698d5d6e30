/** Types, by the TypeScript compiler. */
import { join, relative } from 'node:path';
import { brokenTool, type Check, type Finding, run } from './finding.ts';

const place = /^(.+?)\((\d+),\d+\): error (TS\d+): (.*)$/;

export const types: Check = {
  name: 'types',
  async run(root) {
    const output = await run(join(root, 'node_modules/.bin/tsc'), ['-p', root, '--pretty', 'false'], root);
    const findings: Finding[] = [];
    for (const text of output.stdout.split('\n')) {
      const [, path, line, rule, message] = place.exec(text) ?? [];
      if (path && rule && message) findings.push({ path: relative(root, join(root, path)), line: Number(line), rule, message });
    }
    if (output.status !== 0 && findings.length === 0) throw brokenTool('tsc', output);
    return findings;
  },
};
