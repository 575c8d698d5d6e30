/**
 * The little of Redis' protocol (RESP2, redis.io/docs/latest/develop/reference/protocol-spec) that the load needs. A client library was
 * not taken because it hides what is measured here: it queues, pipelines, retries and reconnects by itself.
 */

export type Reply = string | number | null | Error | readonly Reply[];

/** A command as an array of bulk strings. */
export const encodeCommand = (words: readonly (string | number)[]): string => {
  let text = `*${words.length}\r\n`;
  for (const word of words) {
    const value = String(word);
    text += `$${Buffer.byteLength(value)}\r\n${value}\r\n`;
  }
  return text;
};

/** Bytes in, replies out. */
export class ReplyParser {
  #rest: Buffer = Buffer.alloc(0);

  /**
   * @returns the replies that are complete with these bytes
   * @throws Error on bytes that are not RESP2: the connection is then of no more use
   */
  push(bytes: Buffer): readonly Reply[] {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const replies: Reply[] = [];
    let at = 0;
    for (;;) {
      const parsed = parse(this.#rest, at);
      if (parsed === undefined) break;
      replies.push(parsed.reply);
      at = parsed.next;
    }
    this.#rest = this.#rest.subarray(at);
    return replies;
  }
}

interface Parsed {
  readonly reply: Reply;
  readonly next: number;
}

const parse = (bytes: Buffer, at: number): Parsed | undefined => {
  const end = bytes.indexOf('\r\n', at, 'latin1');
  if (end < 0) return undefined;
  const line = bytes.toString('utf8', at + 1, end);
  const next = end + 2;
  switch (String.fromCharCode(bytes[at] ?? 0)) {
    case '+':
      return { reply: line, next };
    case '-':
      return { reply: new Error(line), next };
    case ':':
      return { reply: Number(line), next };
    case '$':
      return parseBulk(bytes, Number(line), next);
    case '*':
      return parseArray(bytes, Number(line), next);
    default:
      throw new Error(`not a reply of Redis: ${JSON.stringify(bytes.toString('latin1', at, Math.min(end, at + 40)))}`);
  }
};

const parseBulk = (bytes: Buffer, length: number, at: number): Parsed | undefined => {
  if (length < 0) return { reply: null, next: at };
  if (bytes.length < at + length + 2) return undefined;
  return { reply: bytes.toString('utf8', at, at + length), next: at + length + 2 };
};

const parseArray = (bytes: Buffer, length: number, at: number): Parsed | undefined => {
  if (length < 0) return { reply: null, next: at };
  const items: Reply[] = [];
  let next = at;
  for (let i = 0; i < length; i++) {
    const item = parse(bytes, next);
    if (item === undefined) return undefined;
    items.push(item.reply);
    next = item.next;
  }
  return { reply: items, next };
};
