import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Site } from '../testing/site.ts';

const root = join(import.meta.dirname, '../../../..');
const compiler = join(root, 'node_modules/.bin/tsc');
const exec = promisify(execFile);

/** As somebody would use it who has nothing of this repository: packed, installed from the tarball without a network, compiled, run. */
describe('@sealift/contract as npm has it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sealift-contract-'));
  const user = join(directory, 'user');
  /** What `npm test` tells its children is about this checkout. */
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_|^INIT_CWD$|^NODE_OPTIONS$/i.test(name)));
  const npm = (cwd: string, ...args: string[]) =>
    exec('npm', [...args, '--offline', '--cache', join(directory, 'cache'), '--no-audit', '--no-fund', '--no-update-notifier'], {
      cwd,
      env,
    });
  const packed = { files: [] as string[] };
  let site: Site;
  before(async () => {
    site = await Site.start();
    await site.running('redis');
    const folder = join(directory, 'package');
    await exec(process.execPath, [join(root, 'tools/contract-package.ts'), folder]);
    const { stdout } = await npm(directory, 'pack', folder, '--json', '--pack-destination', directory);
    const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]; // as npm documents it
    packed.files = files.map(({ path }) => path);
    mkdirSync(user);
    writeFileSync(join(user, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    await npm(user, 'install', join(directory, filename), join(root, 'node_modules/typebox'));
    for (const name of ['undici', '@types']) symlinkSync(join(root, 'node_modules', name), join(user, 'node_modules', name));
  });
  after(async () => {
    await site.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const run = (file: string) => {
    const addresses = { SEALIFT_MANAGER: site.url, SEALIFT_SOCKET: site.socket };
    return exec(process.execPath, ['--disable-warning=ExperimentalWarning', file], { cwd: user, env: { ...env, ...addresses } });
  };

  it('has what is needed and nothing else', () => {
    const others = packed.files.filter((path) => !/^dist\/[a-z-]+(\.d\.ts|\.js)$/.test(path));
    assert.deepEqual(others.sort(), ['LICENSE', 'README.md', 'package.json']);
    for (const name of ['index', 'client', 'public-api', 'openapi']) {
      for (const ending of ['.js', '.d.ts']) assert.ok(packed.files.includes(`dist/${name}${ending}`), name + ending);
    }
    assert.ok(!packed.files.some((path) => path.includes('test')));
  });

  it('has examples in its README that compile and do what they say', async () => {
    const readme = readFileSync(join(user, 'node_modules/@sealift/contract/README.md'), 'utf8');
    const examples = [...readme.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code = '']) => code);
    assert.equal(examples.length, 2);
    // What the API refuses does not compile; without types, `any` would let it, and the compiler would find nothing to expect.
    const wrong = `import { createClient, publicApi } from '@sealift/contract';
const client = createClient(publicApi, '', fetch, 'manager_unreachable');
// @ts-expect-error a name is a string
await client.migrateVm({ params: { vm: 1 }, body: {} });
// @ts-expect-error there is no such field
await client.migrateVm({ params: { vm: 'redis' }, body: { too: 'bravo' } });
// @ts-expect-error no VM is ever that
export const never = (await client.getVm({ params: { vm: 'redis' } })).state === 'flying';
`;
    writeFileSync(join(user, 'wrong.ts'), wrong);
    examples.forEach((code, number) => void writeFileSync(join(user, `example-${number}.ts`), code));
    const compilerOptions = {
      strict: true,
      skipLibCheck: true,
      noEmit: true,
      module: 'nodenext',
      target: 'es2023',
      lib: ['es2023', 'esnext.disposable'],
      types: ['node'],
    };
    writeFileSync(join(user, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    await exec(compiler, ['-p', user]).catch(({ stdout }) => assert.fail(stdout));

    const first = await run('example-0.ts');
    assert.match(first.stdout, /^redis is running on alpha\nto bravo, sealed: .*bravo/);
    assert.match(first.stdout, /\ncompleted /);
    assert.equal((await site.client.getVm({ params: { vm: 'redis' } })).host, 'bravo');
    assert.equal((await run('example-1.ts')).stdout, 'sealift 0.1.0: 2 hosts, 1 VMs\n');
  });
});
