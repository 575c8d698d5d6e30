/** A file of tests that share two hosts, in a network namespace of the file's own. */
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isInside, needsRoot, runInNamespace } from './namespace.ts';
import { TwoHosts, type TwoHostsOptions } from './two-hosts.ts';

export interface WithTwoHostsOptions extends TwoHostsOptions {
  /** What the file is as a single test, which it is outside the namespace. */
  readonly title: string;
  /** The file's `import.meta.url`. */
  readonly file: string;
}

/** @param define defines the tests, and is called inside the namespace only. The hosts it can ask for are there while tests run. */
export function withTwoHosts({ title, file, ...options }: WithTwoHostsOptions, define: (hosts: () => TwoHosts) => void): void {
  if (!isInside()) {
    test(title, { skip: needsRoot }, () => runInNamespace(fileURLToPath(file)));
    return;
  }
  let hosts: TwoHosts | undefined;
  before(async () => {
    hosts = await TwoHosts.open(options);
  });
  after(() => hosts?.[Symbol.asyncDispose]());
  define(() => {
    if (!hosts) throw new Error('the hosts are not there yet: ask for them within a test');
    return hosts;
  });
}
