/** Lint, format, import cycles and the boundaries between packages, by Biome; the rules are in biome.json. */
import { join, relative, resolve } from 'node:path';
import { brokenTool, type Check, type Finding, run } from './finding.ts';

/** A line of Biome's reporter for workflow commands: the only one that has place, rule and words on one line. */
const annotation = /^::(?:error|warning|notice) title=([^,]+),file=([^,]+),line=(\d+),.*?::(.*)$/;

export const lint: Check = {
  name: 'lint',
  async run(root) {
    const flags = ['check', '--reporter=github', '--max-diagnostics=none', '--error-on-warnings', '--diagnostic-level=warn'];
    const output = await run(join(root, 'node_modules/.bin/biome'), [...flags, '.'], root);
    const findings: Finding[] = [];
    for (const text of output.stdout.split('\n')) {
      const [, rule, path, line, message] = annotation.exec(text) ?? [];
      if (!(rule && path && message)) continue;
      const words = rule === 'format' ? 'is not formatted; npm run format' : message;
      findings.push({ path: relative(root, resolve(root, path)), line: Number(line), rule: rule.replace(/^.*\//, ''), message: words });
    }
    if (output.status !== 0 && findings.length === 0) throw brokenTool('biome', output);
    return findings;
  },
};
