/** The host's network interfaces, as the network namespace of this process has them. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

export interface InterfaceBytes {
  readonly received: number;
  readonly sent: number;
}

/**
 * Bytes since each interface was made. From /proc/self/net/dev (proc(5)), which is always the own namespace's; /sys may be another's.
 * @returns by name
 */
export async function interfaceBytes(): Promise<Map<string, InterfaceBytes>> {
  return parseNetDev(await readFile('/proc/self/net/dev', 'utf8'));
}

/** Two lines of headings, then `name: bytes packets errs drop fifo frame compressed multicast bytes …`, received before sent. */
export function parseNetDev(text: string): Map<string, InterfaceBytes> {
  const found = new Map<string, InterfaceBytes>();
  for (const line of text.split('\n').slice(2)) {
    const colon = line.lastIndexOf(':');
    if (colon < 0) continue;
    const numbers = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    found.set(line.slice(0, colon).trim(), { received: numbers[0] ?? 0, sent: numbers[8] ?? 0 });
  }
  return found;
}

type Interfaces = NodeJS.Dict<NetworkInterfaceInfo[]>;

/** Names of the interfaces that carry these addresses, each once, sorted. */
export function interfacesOf(addresses: readonly string[], interfaces: Interfaces = networkInterfaces()): string[] {
  const wanted = new Set(addresses.map(plain));
  return Object.entries(interfaces)
    .filter(([, infos]) => infos?.some(({ address }) => wanted.has(plain(address))))
    .map(([name]) => name)
    .sort();
}

/** One spelling of an IPv6 address, without a zone. */
const plain = (address: string): string => {
  const bare = address.replace(/%.*$/, '');
  return bare.includes(':') ? new URL(`http://[${bare}]`).hostname : bare;
};

/**
 * What these interfaces carry together in one direction, 10^6 bits a second. Asked anew each time, for a link may come up at another speed.
 * @returns undefined unless each of them stands on hardware that names its speed: loopback says nothing, veth and tap say something that is not so
 */
export async function linkMbps(names: readonly string[], interfaces: Interfaces = networkInterfaces()): Promise<number | undefined> {
  let sum = 0;
  for (const name of names) {
    const speed = await speedOf(name, interfaces);
    if (speed === undefined) return undefined;
    sum += speed;
  }
  return names.length === 0 ? undefined : sum;
}

async function speedOf(name: string, interfaces: Interfaces): Promise<number | undefined> {
  const directory = `/sys/class/net/${name}`;
  const read = (file: string): Promise<string> =>
    readFile(`${directory}/${file}`, 'utf8').then(
      (text) => text.trim(),
      () => '',
    );
  // In a namespace that kept its parent's /sys, an interface of this name is another one.
  const own = interfaces[name]?.some(({ mac }) => mac !== '00:00:00:00:00:00') && interfaces[name]?.[0]?.mac === (await read('address'));
  if (!own || !(await standsOnHardware(directory))) return undefined;
  const speed = Number(await read('speed')); // -1 where the kernel does not know, EINVAL where the link is down
  return speed > 0 ? speed : undefined;
}

/** Has a device, or is made of interfaces that have: a bond, a bridge, a VLAN. */
async function standsOnHardware(directory: string, depth = 0): Promise<boolean> {
  if (
    await stat(`${directory}/device`).then(
      () => true,
      () => false,
    )
  )
    return true;
  if (depth > 4) return false;
  const files = await readdir(directory).catch(() => []);
  for (const file of files) if (file.startsWith('lower_') && (await standsOnHardware(`${directory}/${file}`, depth + 1))) return true;
  return false;
}
