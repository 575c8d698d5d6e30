/** `qmp SOCKET COMMAND`: sends one QMP command and prints what QEMU answers; what docs/tunnel.md's scripts call `qmp`. */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const [path = '', command = ''] = process.argv.slice(2);
const socket = connect(path);
let answers = 0;
for await (const line of createInterface({ input: socket })) {
  const message = JSON.parse(line);
  if ('QMP' in message) socket.write(`{"execute": "qmp_capabilities"}\n${command}\n`);
  // The first answer is to qmp_capabilities; events come in between.
  else if (('return' in message || 'error' in message) && ++answers === 2) {
    console.log(line);
    process.exitCode = 'error' in message ? 1 : 0;
    socket.end();
  }
}
if (answers < 2) process.exitCode = 1;
