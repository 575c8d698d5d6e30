import type { QemuVersion } from './codec.ts';
import type { QmpError } from './error.ts';
import { limited } from './limit.ts';
import type { ExecuteInput, ExecuteOptions, QmpCommand, QmpCommands, QmpEvent } from './vocabulary.ts';

/** A conversation with one QEMU. {@link QmpClient} is the real one; the fake to talk to is FakeQemu in `@sealift/hypervisor/testing`. */
export interface Monitor {
  readonly version: QemuVersion;

  /**
   * Runs a command. Commands may be under way at the same time; QEMU answers them in order.
   * @throws QmpError, always
   */
  execute<C extends QmpCommand>(command: C, ...input: ExecuteInput<C>): Promise<QmpCommands[C]['return']>;

  /**
   * Calls back for each event, in QEMU's order among each other and with the answers to commands. QEMU does not repeat events that
   * nobody listened to: whoever begins to listen queries the state afterwards.
   * @returns what ends it
   */
  onEvent(listener: (event: QmpEvent) => void): () => void;

  /** Resolves, never rejects, when the conversation has ended, with the error that the commands under way were rejected with. */
  readonly closed: Promise<QmpError>;

  /** Ends the conversation; QEMU runs on. Idempotent. */
  close(): void;
}

/**
 * The next event that `accept` takes. Begins to listen before it returns, so call it before the command that causes the event.
 * @throws QmpError `timeout`, `aborted`, `disconnected`
 */
export function nextEvent(monitor: Monitor, accept: (event: QmpEvent) => boolean, options: ExecuteOptions = {}): Promise<QmpEvent> {
  const waiting = Promise.withResolvers<QmpEvent>();
  const stop = monitor.onEvent((event) => {
    if (accept(event)) waiting.resolve(event);
  });
  void monitor.closed.then(waiting.reject);
  return limited(waiting, options, 'the awaited event of QEMU').finally(stop);
}
