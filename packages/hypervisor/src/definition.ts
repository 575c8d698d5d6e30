/** What QEMU must know of a virtual machine: a structural part of the API's VmDefinition, but for disks, which here are files of the host. */
export interface VmDefinition {
  readonly name: string;
  readonly memoryMiB: number;
  readonly vcpus: number;
  /** QEMU's `-cpu`: a model and its features, `qemu64,+aes`. Must be the same on both ends of a migration. */
  readonly cpuModel: string;
  /** A versioned machine type such as `pc-q35-7.2`; an alias such as `q35` means another machine on another QEMU, and is refused. */
  readonly machine: string;
  readonly uuid?: string;
  readonly kernelBoot?: KernelBoot;
  readonly disks: readonly Disk[];
  readonly nics: readonly Nic[];
}

/** Boots a kernel of the host's, which must be at the same path wherever the VM is started or moved to. */
export interface KernelBoot {
  readonly kernel: string;
  readonly initrd?: string;
  readonly cmdline: string;
}

export interface Disk {
  /** Absolute. */
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  /** The same image is seen by every host. */
  readonly shared: boolean;
}

export interface Nic {
  /** Which bridge its tap belongs on; QEMU does not come to know it. */
  readonly bridge: string;
  readonly mac: string;
}

/** Where a running VM's files are. All absolute; sockets at most {@link MAX_SOCKET_PATH} bytes. */
export interface RuntimePaths {
  readonly qmpSocket: string;
  /** A second QMP socket, for when whoever holds the first one hangs: QEMU serves one client a socket. */
  readonly spareQmpSocket: string;
  readonly serialSocket: string;
  readonly serialLog: string;
  readonly pidfile: string;
}

/** `sun_path` of Linux is 108 bytes with its final zero. */
export const MAX_SOCKET_PATH = 107;

export interface LaunchOptions {
  readonly accel: 'kvm' | 'tcg';
  /** Wait for `migrate-incoming` in place of booting. */
  readonly incoming: boolean;
  /** One tap for each NIC, in order; they must exist. */
  readonly tapNames: readonly string[];
  /** Do not run the VM until `cont`: after an incoming migration as well. */
  readonly paused: boolean;
  /** Touch all of the guest's memory at start. A destination then does not pay for each page's first touch while it arrives. Default: no. */
  readonly preallocate?: boolean;
  /** A raw volume that the guest can only read, beside the disks. */
  readonly seed?: string;
}
