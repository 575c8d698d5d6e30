/** How a guest of the lab is booted. */

export interface GuestBoot {
  /** With the length of the prefix. */
  readonly address: string;
  /** Memory that the checker walks over, MiB; 0 for none. */
  readonly checkerMiB: number;
  /** How long each of its passes rests, ms. */
  readonly checkerPauseMs: number;
}

/**
 * The kernel's command line: expedited grace periods and no mitigations, because booting is slow under emulation. A panic stops
 * the guest, so that its last words are the end of its serial log: a reboot would look like a mere pause to whoever watches from outside.
 */
export const kernelCommandLine = ({ address, checkerMiB, checkerPauseMs }: GuestBoot): string =>
  [
    'console=ttyS0',
    'mitigations=off',
    'rcupdate.rcu_expedited=1',
    'random.trust_cpu=on',
    `sealift.ip=${address}`,
    `sealift.checker=${checkerMiB}`,
    `sealift.checker_pause_ms=${checkerPauseMs}`,
  ].join(' ');
