/** What to do backwards when a step fails: every step of a longer action pushes its undo, success clears them all. */
export interface UndoLog {
  warn(details: object, message: string): void;
}

export class Undo {
  readonly #steps: { what: string; act: () => unknown }[] = [];
  readonly #log: UndoLog;

  constructor(log: UndoLog) {
    this.#log = log;
  }

  /** @param what finishes the sentence "could not …", such as "remove the tap sl-a1b2" */
  push(what: string, act: () => unknown): void {
    this.#steps.push({ what, act });
  }

  /** The action succeeded: nothing is undone any more. */
  clear(): void {
    this.#steps.length = 0;
  }

  /**
   * Undoes, last step first. A step that fails is logged and does not stop the ones before it: what can be cleaned up, is.
   * @returns what could not be undone, in words; empty when all is as before
   */
  async run(): Promise<string[]> {
    const failed: string[] = [];
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      try {
        await step.act();
      } catch (error) {
        failed.push(step.what);
        this.#log.warn({ err: error }, `could not ${step.what}`);
      }
    }
    return failed;
  }

  /** Runs `action`; when it rejects, undoes what it pushed and rejects with the same error. */
  static async around<T>(log: UndoLog, action: (undo: Undo) => Promise<T>): Promise<T> {
    const undo = new Undo(log);
    try {
      const result = await action(undo);
      undo.clear();
      return result;
    } catch (error) {
      await undo.run();
      throw error;
    }
  }
}
