/** One connection to Redis: a command at a time, the time of each answer, and what became of the connection. */
import { connect, type Socket } from 'node:net';
import { encodeCommand, type Reply, ReplyParser } from './resp.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** The connection ended while a command was waiting for its answer, so whether it was carried out is not known. */
export class ConnectionLost extends Error {
  constructor(reason: string, cause?: unknown) {
    super(`the connection to Redis was lost: ${reason}`, { cause });
    this.name = 'ConnectionLost';
  }
}

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: ConnectionLost) => void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #lost: ConnectionLost | undefined;

  /** @param silenceMs gives the connection up where an answer does not come for so long, and nothing of it is sent any more */
  constructor(socket: Socket, silenceMs?: number) {
    this.#socket = socket;
    const parser = new ReplyParser();
    socket.setNoDelay(true);
    socket.on('data', (bytes) => {
      try {
        for (const reply of parser.push(bytes)) this.#waiting.shift()?.resolve(reply);
      } catch (error) {
        this.#lose(new ConnectionLost('it answers with other than Redis would', error));
      }
    });
    socket.on('error', (error) => this.#lose(new ConnectionLost(error.message, error)));
    socket.on('close', () => this.#lose(new ConnectionLost('closed')));
    if (silenceMs === undefined) return;
    socket.setTimeout(silenceMs, () => {
      if (this.#waiting.length === 0) return;
      // The kernel would go on sending what is on its way: a write that comes later than one that was made meanwhile undoes it.
      socket.resetAndDestroy();
      this.#lose(new ConnectionLost(`no answer for ${silenceMs} ms`));
    });
  }

  /** @throws ConnectionLost when it ends before the answer */
  command(...words: readonly (string | number)[]): Promise<Reply> {
    if (this.#lost) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(encodeCommand(words));
    });
  }

  close(): void {
    this.#lose(new ConnectionLost('closed by the client'));
  }

  #lose(reason: ConnectionLost): void {
    if (this.#lost) return;
    this.#lost = reason;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
  }
}

export interface Patience {
  /** For the connection to be there. */
  readonly timeoutMs?: number;
  /** For each answer; without one, as long as TCP holds on to it. */
  readonly silenceMs?: number;
}

/** @throws ConnectionLost when nobody answers within `timeoutMs` */
export const openConnection = ({ host, port }: Target, { timeoutMs = 5000, silenceMs }: Patience = {}): Promise<Connection> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const fail = (reason: string, cause?: unknown) => {
      socket.destroy();
      reject(new ConnectionLost(reason, cause));
    };
    const timer = setTimeout(() => fail(`no answer from ${host}:${port} within ${timeoutMs} ms`), timeoutMs);
    socket.once('error', (error) => {
      clearTimeout(timer);
      fail(error.message, error);
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(new Connection(socket, silenceMs));
    });
  });
