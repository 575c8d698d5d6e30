/** A VM's serial console: raw bytes over a WebSocket, from and to this process's terminal or pipes. */
import { once } from 'node:events';
import { errorOf, pathOf, publicApi, SealiftError } from '@sealift/contract';
import { WebSocket } from 'ws';
import { type ManagerAddress, nameOf, socketUrl } from '../manager/address.ts';
import type { Io } from '../output/io.ts';

/** Ctrl-], as in telnet and virsh: what guests and their shells do not use. */
const leaveKey = 0x1d;

/**
 * Returns when the person leaves, when the manager closes the console, or on Ctrl-C where input is no terminal. The end of piped input
 * alone does not end it: what the guest answers is still to come.
 */
export async function openConsole(address: ManagerAddress, vm: string, io: Io): Promise<void> {
  const { stdin, stdout } = process;
  const terminal = stdin.isTTY;
  const socket = new WebSocket(socketUrl(address, pathOf(publicApi.consoleOfVm, { vm })), {
    handshakeTimeout: 30_000,
    perMessageDeflate: false,
  });
  const leave = (): void => socket.close(1000);

  // Before anything is waited for: the first bytes may come in one piece with the answer to the handshake.
  socket.on('message', (data: Buffer) => {
    if (stdout.write(data)) return;
    socket.pause();
    stdout.once('drain', () => socket.resume());
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  socket.on('error', () => {}); // said by what waits for the opening, and after it by the close that follows
  await opening(socket, address);

  const type = async (): Promise<void> => {
    for await (const chunk of stdin as AsyncIterable<Buffer>) {
      const at = terminal ? chunk.indexOf(leaveKey) : -1;
      const bytes = at === -1 ? chunk : chunk.subarray(0, at);
      // Waiting for each send keeps a pasted file from piling up here.
      if (bytes.length > 0) await new Promise<void>((resolve) => socket.send(bytes, { binary: true }, () => resolve()));
      if (at !== -1) return leave();
    }
  };

  if (terminal) {
    stdin.setRawMode(true);
    io.note(`Console of ${vm}; leave with Ctrl-]\r`);
  }
  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
  try {
    const typing = type();
    const { code, reason } = await Promise.race([closed, typing.then(() => closed)]);
    if (code !== 1000 && code !== 1005)
      throw new SealiftError('agent_unreachable', `the console of ${vm} broke off${reason && `: ${reason}`}`);
    if (terminal) io.note(`\r\nLeft the console of ${vm}${reason && `: ${reason}`}`);
  } finally {
    process.off('SIGINT', leave);
    process.off('SIGTERM', leave);
    if (terminal) stdin.setRawMode(false);
    socket.terminate();
    stdin.destroy();
  }
}

/** @throws SealiftError the manager's own where it refused, else `manager_unreachable` */
async function opening(socket: WebSocket, address: ManagerAddress): Promise<void> {
  const refused = new Promise<never>((_, reject) => {
    socket.once('unexpected-response', (_request, response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.once('end', () => reject(refusalOf(response.statusCode, text)));
      response.once('error', reject);
    });
  });
  const opened = once(socket, 'open').catch((cause: Error) => {
    throw new SealiftError('manager_unreachable', `no manager answers at ${nameOf(address)}: ${cause.message}`, { cause });
  });
  await Promise.race([opened, refused]);
}

function refusalOf(status: number | undefined, text: string): SealiftError {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {} // a proxy's page, say: then the status is all there is
  return errorOf(body) ?? new SealiftError('internal', `the console was refused with HTTP ${status}`);
}
