/** What the guest image is made of. The image's name is a hash of this, so that a change of any of it makes a new image. */

/** Debian's package that depends on its current kernel for virtual machines. */
export const kernelMetaPackage = 'linux-image-cloud-amd64';

/** Beside the kernel. Libraries are named with all that they need in turn; the build notices one that is missing. */
export const packages = [
  'busybox-static',
  'redis-server',
  'redis-tools',
  'libc6',
  'libatomic1',
  'libcap2',
  'libgcc-s1',
  'libgcrypt20',
  'libgpg-error0',
  'libjemalloc2',
  'liblz4-1',
  'liblzf1',
  'liblzma5',
  'libssl3',
  'libstdc++6',
  'libsystemd0',
  'libzstd1',
] as const;

/** Kernel modules that the guest loads, beside those that these need. */
export const modules = ['virtio_pci', 'virtio_net', 'virtio_blk', 'button', 'evdev'] as const;

/** Dynamically linked programs: where the packages have them. They keep their paths in the guest. */
export const programs = ['usr/bin/redis-server', 'usr/bin/redis-cli'] as const;

/** What is run when the power button is pressed. */
export const powerButton = '#!/bin/busybox sh\nexec /bin/busybox poweroff -f\n';
