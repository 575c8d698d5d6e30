/** Links of Markdown pages to files and headings of this repository. */
import { stat } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import type { Finding } from './finding.ts';

export type ReadText = (path: string) => Promise<string>;

/** Code is not prose: what looks like a link in it is none. Lines stay where they are. */
const withoutCode = (page: string): string =>
  page.replace(/^(```+|~~~+)[\s\S]*?^\1/gm, (code) => code.replace(/[^\n]/g, '')).replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length));

/** The anchors that GitHub gives to a page's headings. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of page.replace(/^(```+|~~~+)[\s\S]*?^\1/gm, '').matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const words = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const base = words.replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, '').replaceAll(' ', '-');
    let anchor = base;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${base}-${n}`;
    anchors.add(anchor);
  }
  for (const [, id = ''] of page.matchAll(/<a\s+(?:id|name)="([^"]+)"/g)) anchors.add(id);
  return anchors;
}

export async function checkLinks(root: string, path: string, read: ReadText): Promise<Finding[]> {
  const findings: Finding[] = [];
  const page = withoutCode(await read(path));
  const links = [...page.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g), ...page.matchAll(/^\[[^\]]+\]:\s+<?(\S+?)>?$/gm)];
  for (const { 1: link = '', index } of links) {
    if (/^[a-z][a-z0-9+.-]*:/i.test(link)) continue;
    const line = page.slice(0, index).split('\n').length;
    const [file = '', anchor] = link.split('#');
    const target = file === '' ? path : normalize(join(file.startsWith('/') ? '' : dirname(path), decodeURIComponent(file)));
    const exists = await stat(join(root, target)).then(
      () => true,
      () => false,
    );
    if (!exists || target.startsWith('..')) {
      findings.push({ path, line, rule: 'links', message: `links to ${link}, and there is no ${target}` });
    } else if (anchor && target.endsWith('.md') && !anchorsOf(await read(target)).has(anchor)) {
      findings.push({ path, line, rule: 'links', message: `links to ${link}, and ${target} has no such heading` });
    }
  }
  return findings;
}
