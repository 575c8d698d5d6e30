/** Builds the guest: a Debian kernel, and an initramfs with busybox, Redis and the memory checker. Needs no root. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addBase, addKernelAndInitramfs, addPowerButton, addPrograms, buildOnce } from './assemble.ts';
import { checkerSource, compileChecker } from './checker.ts';
import { modules, packages, powerButton, programs } from './recipe.ts';

export interface GuestImage {
  readonly kernel: string;
  readonly initrd: string;
}

const initScript = fileURLToPath(new URL('init', import.meta.url));

/**
 * The image for what Debian has now, built where it is not in the cache yet.
 * @param say is told what takes time
 * @param cache a folder; by default `.cache/guest` in the checkout
 */
export const guestImage = async (say: (message: string) => void, cache?: string): Promise<GuestImage> => {
  const sources = [initScript, checkerSource, new URL('image.ts', import.meta.url)];
  const folder = await buildOnce({ what: 'guest image', packages, sources, assemble }, say, cache);
  return { kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd.gz') };
};

const assemble = async (unpacked: string, root: string, image: string): Promise<void> => {
  await addBase(unpacked, root, initScript, modules);
  await addPrograms(unpacked, root, programs);
  await compileChecker(join(root, 'bin/checker'));
  await addPowerButton(root, powerButton);
  await addKernelAndInitramfs(unpacked, root, image);
};
