/** Unused files, exports and dependencies, and undeclared ones, by knip; its entry points are in knip.json. */
import { join } from 'node:path';
import { brokenTool, type Check, type Finding, run } from './finding.ts';

/** Of knip's JSON reporter: per file, each kind of issue with what it is about. */
type Issues = { file: string } & Record<string, { name?: string; line?: number }[]>;

export const unused: Check = {
  name: 'unused',
  async run(root) {
    const output = await run(process.execPath, [join(root, 'node_modules/knip/bin/knip.js'), '--reporter', 'json', '--no-progress'], root);
    let report: { issues: Issues[] };
    try {
      report = JSON.parse(output.stdout);
    } catch {
      throw brokenTool('knip', output);
    }
    const findings: Finding[] = [];
    for (const { file, ...kinds } of report.issues) {
      for (const [kind, things] of Object.entries(kinds)) {
        for (const { name, line } of things.flat()) {
          findings.push({ path: file, ...(line !== undefined && { line }), rule: kind, message: `knip reports ${kind}: ${name ?? file}` });
        }
      }
    }
    if (output.status !== 0 && findings.length === 0) throw brokenTool('knip', output);
    return findings;
  },
};
