import { join } from 'node:path';
import type { RuntimePaths } from '../definition.ts';

/** A VM's files, side by side in a directory, under the names that an agent gives them. */
export const pathsIn = (directory: string): RuntimePaths => ({
  qmpSocket: join(directory, 'qmp.sock'),
  spareQmpSocket: join(directory, 'qmp-spare.sock'),
  serialSocket: join(directory, 'serial.sock'),
  serialLog: join(directory, 'serial.log'),
  pidfile: join(directory, 'pid'),
});
