/**
 * `definition`: a VM definition or a path cannot be put on QEMU's command line. `missing`: there is no QEMU to run. `too-old`: it is older
 * than {@link OLDEST_QEMU}. `accelerator`: the wished-for accelerator does not work on this host. `start`: QEMU ended, or did not answer, while it was started; the
 * message has the end of its log. `unkillable`: the kernel has not ended a killed QEMU within the deadline, so its guest may still be there.
 */
export type HypervisorErrorCode = 'definition' | 'missing' | 'too-old' | 'accelerator' | 'start' | 'unkillable';

/** What fails outside a QMP conversation; in one, it is QmpError. */
export class HypervisorError extends Error {
  readonly code: HypervisorErrorCode;

  constructor(code: HypervisorErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'HypervisorError';
    this.code = code;
  }
}
