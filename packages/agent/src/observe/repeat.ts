/** What is looked at again and again. */

/** How often hosts and VMs are looked at: "the last few seconds" of reports. */
export const intervalMs = 5_000;

/**
 * Runs `look` every few seconds, never twice at the same time; the next time waits for one that is late. `look` must not reject.
 * @returns what ends that
 */
export function repeat(look: () => Promise<void>, everyMs = intervalMs): () => void {
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => {
      looking = false;
    });
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
