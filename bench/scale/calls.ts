/** Calls of the manager's API as a client on the same machine makes them: one connection a client, kept open, answers read to their last byte. */
import http from 'node:http';

export class Caller {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  readonly #base: string;

  constructor(base: string) {
    this.#base = base;
  }

  /** @throws Error where the answer is not a good one, with the API's words */
  async call<T>(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<T> {
    const text = await this.text(method, path, body);
    return JSON.parse(text) as T; // as the contract says of the route
  }

  text(method: string, path: string, body?: unknown): Promise<string> {
    return new Promise((resolve, reject) => {
      const sent = body === undefined ? undefined : JSON.stringify(body);
      const headers = sent === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) };
      const request = http.request(this.#base + path, { method, agent: this.#agent, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('error', reject);
        response.once('end', () => {
          const text = Buffer.concat(chunks).toString();
          if ((response.statusCode ?? 500) < 300) resolve(text);
          else reject(new Error(`${method} ${path}: HTTP ${response.statusCode} ${text.slice(0, 300)}`));
        });
      });
      request.once('error', reject);
      request.end(sent);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Each event of the manager's stream, as it comes. @returns what ends it */
export function follow(base: string, heard: (event: unknown, at: number) => void): () => void {
  const request = http.get(`${base}/v1/events`, (response) => {
    let rest = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      const at = performance.timeOrigin + performance.now();
      const blocks = (rest + chunk).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data !== undefined) heard(JSON.parse(data), at);
      }
    });
    response.on('error', () => undefined); // it is ended below, or by the manager's end
  });
  request.on('error', () => undefined);
  return () => void request.destroy();
}
