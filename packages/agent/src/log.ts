/** Logs: JSON lines on standard error. Nothing secret is ever handed to them; what looks like it is blotted out all the same. */
import { destination, type Logger, pino } from 'pino';

const secret = ['key', 'privateKey', 'sealed', 'secret', 'token', 'password', 'authorization'];

/** @param bindings on every line */
export const createLog = (bindings: Record<string, unknown>, level = 'info'): Logger =>
  pino(
    {
      base: bindings,
      level,
      redact: { paths: secret.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    // Synchronous: the last lines before an end are those that are looked for.
    destination({ dest: 2, sync: true }),
  );
