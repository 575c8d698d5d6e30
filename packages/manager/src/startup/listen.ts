/** Where the public API may be served on TCP. There is no sign-in yet, so it must not leave the machine. */
import { isLoopback } from '../api/origin.ts';
import { StartupError } from './error.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** @throws StartupError for what is not `ADDRESS:PORT`, and for every address that other machines can reach */
export function parseListen(text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new StartupError(`--listen ${text} is not an address and a port, such as 127.0.0.1:8650`);
  }
  if (!isLoopback(host)) {
    throw new StartupError(
      `--listen ${text} is refused: the API has no sign-in yet, so it is served on loopback addresses only, such as 127.0.0.1:8650`,
    );
  }
  return { host, port };
}
