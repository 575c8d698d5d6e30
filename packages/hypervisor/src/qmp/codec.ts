/**
 * QMP's wire format: one JSON object a line, each way (QEMU's docs/interop/qmp-spec). Sans-I/O: bytes in, messages out.
 *
 *   QEMU → {"QMP": {"version": …, "capabilities": […]}}          greeting, once
 *        ← {"execute": …, "arguments": …, "id": …}
 *   QEMU → {"return": …, "id": …} | {"error": {"class", "desc"}, "id": …}
 *   QEMU → {"event": …, "data": …, "timestamp": {"seconds", "microseconds"}}
 */

/** The longest line that is kept. `query-qmp-schema`, QEMU's longest answer, is about 250 KiB on 7.2; four MiB leaves room for hundreds of block nodes. */
export const MAX_LINE_BYTES = 4 * 1024 * 1024;

export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  /** The packager's words, such as `Debian 1:7.2+dfsg-7`; may be empty. */
  readonly package: string;
}

export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: QemuVersion }
  | { readonly kind: 'return'; readonly id: unknown; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: unknown; readonly qemuClass: string; readonly description: string }
  | { readonly kind: 'event'; readonly name: string; readonly data: unknown; readonly qemuMicroseconds: number }
  /** A line that is none of these. The stream goes on at the next line. */
  | { readonly kind: 'garbage'; readonly reason: string };

const NEWLINE = 0x0a;

/** Cuts a byte stream into messages. Holds at most {@link MAX_LINE_BYTES}; what is longer is skipped to the next line and reported as garbage. */
export class QmpDecoder {
  readonly #maxLine: number;
  #pieces: Uint8Array[] = [];
  #length = 0;
  #skipping = false;

  constructor(maxLine: number = MAX_LINE_BYTES) {
    this.#maxLine = maxLine;
  }

  push(bytes: Uint8Array): QmpMessage[] {
    const messages: QmpMessage[] = [];
    let from = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      this.#keep(bytes.subarray(from, end));
      const message = this.#endLine();
      if (message) messages.push(message);
      from = end + 1;
    }
    this.#keep(bytes.subarray(from));
    return messages;
  }

  #keep(piece: Uint8Array): void {
    if (this.#skipping || piece.length === 0) return;
    if (this.#length + piece.length > this.#maxLine) {
      this.#skipping = true;
      this.#pieces = [];
      this.#length = 0;
      return;
    }
    // Copied, for the caller may reuse its buffer.
    this.#pieces.push(piece.slice());
    this.#length += piece.length;
  }

  #endLine(): QmpMessage | undefined {
    if (this.#skipping) {
      this.#skipping = false;
      return { kind: 'garbage', reason: `a line is longer than ${this.#maxLine} bytes` };
    }
    const line = Buffer.concat(this.#pieces, this.#length).toString('utf8').trim();
    this.#pieces = [];
    this.#length = 0;
    return line === '' ? undefined : parseLine(line);
  }
}

export function encodeCommand(id: number, command: string, args: object | undefined): string {
  return `${JSON.stringify({ execute: command, ...(args !== undefined && { arguments: args }), id })}\n`;
}

/** Whether something is a JSON object (and not an array). */
export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parseLine(line: string): QmpMessage {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return { kind: 'garbage', reason: `a line is not JSON: ${line.slice(0, 120)}` };
  }
  return (isRecord(json) && parseObject(json)) || { kind: 'garbage', reason: `a line is not a QMP message: ${line.slice(0, 120)}` };
}

function parseObject(json: Readonly<Record<string, unknown>>): QmpMessage | undefined {
  const { id, return: value, error, event, data, timestamp, QMP: greeting } = json;
  if ('return' in json) return { kind: 'return', id, value };
  if (isRecord(error)) {
    const { class: qemuClass, desc } = error;
    return { kind: 'error', id, qemuClass: String(qemuClass), description: String(desc) };
  }
  if (typeof event === 'string') return { kind: 'event', name: event, data, qemuMicroseconds: microseconds(timestamp) };
  if (isRecord(greeting)) {
    const { version } = greeting;
    const known = parseVersion(version);
    if (known) return { kind: 'greeting', version: known };
  }
  return undefined;
}

/** `{"qemu": {"major", "minor", "micro"}, "package"}`, as the greeting and `query-version` have it. */
export function parseVersion(value: unknown): QemuVersion | undefined {
  if (!isRecord(value)) return undefined;
  const { qemu, package: packager } = value;
  if (!isRecord(qemu)) return undefined;
  const { major, minor, micro } = qemu;
  if (typeof major !== 'number' || typeof minor !== 'number' || typeof micro !== 'number') return undefined;
  return { major, minor, micro, package: typeof packager === 'string' ? packager : '' };
}

/** QEMU's wall clock in µs since the epoch. QEMU says -1 where it could not read its clock; that comes out as NaN. */
function microseconds(timestamp: unknown): number {
  if (!isRecord(timestamp)) return Number.NaN;
  const { seconds, microseconds: rest } = timestamp;
  if (typeof seconds !== 'number' || typeof rest !== 'number' || seconds < 0 || rest < 0) return Number.NaN;
  return seconds * 1e6 + rest;
}
