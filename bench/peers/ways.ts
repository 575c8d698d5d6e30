/** The ways from one QEMU to the other, each as its users would set it up at its best. */

import { once } from 'node:events';
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { Suite } from '../../packages/transport/src/constants.ts';
import { Started } from '../measure/processes.ts';
import { startTunnel } from '../measure/tunnel.ts';

export interface Place {
  /** Of this measurement. */
  readonly directory: string;
  /** Of {@link makeCertificates}. */
  readonly certificates: string;
  /** Of {@link makeSshKeys}. */
  readonly ssh: string;
  readonly channels: number;
  /** The unix socket that the destination's QEMU listens on. */
  readonly to: string;
}

/** Starts what stands between the two. @returns the unix socket for the source, and the processes that it costs */
export type Way = (place: Place, stack: AsyncDisposableStack) => Promise<{ readonly out: string; readonly processes: readonly Started[] }>;

/** For programs that cannot say which port they were given. Another may take it meanwhile; the program then says so and the run ends. */
async function freePort(): Promise<number> {
  const server = net.createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  await once(server.close(), 'close');
  if (typeof address !== 'object' || address === null) throw new Error('the kernel gave no port');
  return address.port;
}

export const sealift =
  (suite: Suite): Way =>
  ({ directory, channels, to }, stack) =>
    // Multifd has one connection more: the one that QEMU's main stream takes.
    startTunnel({ suite, connections: channels + 1, directory, to }, stack);

/** One stunnel on each side: unix socket, TLS 1.3 over loopback, unix socket; each connection has a thread and a TLS session of its own. */
export const stunnel: Way = async ({ directory, certificates, to }, stack) => {
  const port = await freePort();
  const out = path.join(directory, 'out.sock');
  const end = (side: 'client' | 'server', service: string[]): Started => {
    const file = path.join(directory, `stunnel-${side}.conf`);
    const at = (name: string) => path.join(certificates, name);
    const settings = [
      ...['foreground = yes', 'pid =', 'syslog = no', 'debug = 5', '[bench]', `client = ${side === 'client' ? 'yes' : 'no'}`],
      ...['sslVersion = TLSv1.3', 'ciphersuites = TLS_AES_256_GCM_SHA384', 'verifyChain = yes', `CAfile = ${at('ca-cert.pem')}`],
      ...[`cert = ${at(`${side}-cert.pem`)}`, `key = ${at(`${side}-key.pem`)}`, ...service],
    ];
    writeFileSync(file, `${settings.join('\n')}\n`);
    return stack.use(new Started(`stunnel ${side}`, 'stunnel4', [file]));
  };
  const server = end('server', [`accept = 127.0.0.1:${port}`, `connect = ${to}`]);
  await server.says(/Configuration successful/);
  const client = end('client', [`accept = ${out}`, `connect = 127.0.0.1:${port}`]);
  await client.makes(out);
  return { out, processes: [client, server] };
};

/** `ssh -L`, unix socket to unix socket. All connections of a migration share ssh's one. */
export const ssh: Way = async ({ directory, ssh: keys, to }, stack) => {
  const port = await freePort();
  const out = path.join(directory, 'out.sock');
  const at = (name: string) => path.join(keys, name);
  separatePrivileges(stack);
  const config = path.join(directory, 'sshd.conf');
  const settings = [
    ...[`Port ${port}`, 'ListenAddress 127.0.0.1', `HostKey ${at('host')}`, `AuthorizedKeysFile ${at('authorized_keys')}`],
    ...['StrictModes no', 'PidFile none', 'UsePAM no', 'PasswordAuthentication no', 'PermitRootLogin prohibit-password'],
    ...['AllowStreamLocalForwarding yes', 'Ciphers aes256-gcm@openssh.com'],
  ];
  writeFileSync(config, `${settings.join('\n')}\n`);
  const server = stack.use(new Started('sshd', '/usr/sbin/sshd', ['-D', '-e', '-f', config]));
  await server.says(/Server listening/);
  const options = [
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'ExitOnForwardFailure=yes',
    'IdentitiesOnly=yes',
    'BatchMode=yes',
  ];
  const client = stack.use(
    new Started('ssh', 'ssh', [
      ...['-N', '-F', '/dev/null', '-i', at('user'), '-p', String(port), '-c', 'aes256-gcm@openssh.com', '-L', `${out}:${to}`],
      ...options.flatMap((option) => ['-o', option]),
      `${os.userInfo().username}@127.0.0.1`,
    ]),
  );
  await client.makes(out);
  return { out, processes: [client, server] };
};

/** sshd of root wants this empty directory, which Debian makes when it starts its own sshd. */
function separatePrivileges(stack: AsyncDisposableStack): void {
  const directory = '/run/sshd';
  if (process.getuid?.() !== 0 || existsSync(directory)) return;
  mkdirSync(directory, { mode: 0o755 });
  stack.defer(() => rmdirSync(directory));
}
