/** An interrupt from outside, as a signal that asynchronous work can watch, so that it is cleaned up after. */

export interface Interruption extends Disposable {
  readonly signal: AbortSignal;
}

export class Interrupted extends Error {
  constructor(by: string) {
    super(`interrupted by ${by}`);
    this.name = 'Interrupted';
  }
}

/** From now until it is disposed of, SIGINT, SIGTERM and SIGHUP abort the signal and do nothing else. */
export const untilInterrupted = (): Interruption => {
  const controller = new AbortController();
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const abort = (name: NodeJS.Signals): void => controller.abort(new Interrupted(name));
  for (const name of names) process.on(name, abort);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const name of names) process.off(name, abort);
    },
  };
};
