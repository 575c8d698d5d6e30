/**
 * Makes the folder that is published to npm as @sealift/contract: JavaScript, type declarations, README and licence. The workspace itself
 * goes on using the TypeScript as it stands, and its package.json stays private, so that nothing unbuilt is ever published.
 *
 *   tools/node tools/contract-package.ts [DIR]     DIR is made anew; .cache/contract where it is left out
 *   npm publish DIR --access public
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const source = join(root, 'packages/contract');
const out = process.argv[2] ?? join(root, '.cache/contract');
const dist = join(out, 'dist');

rmSync(out, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
const args = ['-p', join(source, 'tsconfig.build.json'), '--outDir', dist];
const { status } = spawnSync(join(root, 'node_modules/.bin/tsc'), args, { stdio: 'inherit' });
if (status !== 0) process.exit(1);

const { name, version, description, license, keywords, engines, type, dependencies } = JSON.parse(
  readFileSync(join(source, 'package.json'), 'utf8'),
);
const published = {
  ...{ name, version, description, keywords, license, type, engines, sideEffects: false },
  exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' }, './package.json': './package.json' },
  files: ['dist'],
  dependencies,
};
writeFileSync(join(out, 'package.json'), `${JSON.stringify(published, null, 2)}\n`);
copyFileSync(join(source, 'README.md'), join(out, 'README.md'));
copyFileSync(join(root, 'LICENSE'), join(out, 'LICENSE'));
