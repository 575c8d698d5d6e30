/** From the kernel's texts and counters to what is reported. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCpuInfo } from '../host-report.ts';
import { loadBetween, parseCpuTicks } from './host-load.ts';
import { interfacesOf, linkMbps, parseNetDev } from './links.ts';
import { statsBetween, type VmCounters } from './vm-stats.ts';

const info = (address: string, mac: string) => ({ address, mac, netmask: '', internal: false, cidr: null, family: 'IPv4' as const });

test('reads /proc/net/dev, also a counter that touches the colon and a name with one in it', () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:12345       9    0    0    0     0          0         0     6789       8    0    0    0     0       0          0
eth0:1:    7       9    0    0    0     0          0         0        8       8    0    0    0     0       0          0
`;
  assert.deepEqual(
    [...parseNetDev(text)],
    [
      ['lo', { received: 100, sent: 100 }],
      ['eth0', { received: 12345, sent: 6789 }],
      ['eth0:1', { received: 7, sent: 8 }],
    ],
  );
});

test('finds the interface of each address once, however IPv6 is spelled', () => {
  const interfaces = {
    eth1: [info('192.0.2.1', '52:54:00:00:00:01'), info('2001:db8::10', '52:54:00:00:00:01')],
    eth0: [info('198.51.100.1', '52:54:00:00:00:02')],
    eth2: [info('203.0.113.1', '52:54:00:00:00:03')],
  };
  assert.deepEqual(interfacesOf(['192.0.2.1', '2001:0db8:0:0::10', '198.51.100.1', '192.0.2.99'], interfaces), ['eth0', 'eth1']);
});

test('says no speed for what names none or is not this namespace’s', async () => {
  assert.equal(await linkMbps([]), undefined);
  assert.equal(await linkMbps(['lo']), undefined);
  assert.equal(await linkMbps(['nosuch0'], { nosuch0: [info('192.0.2.1', '52:54:00:00:00:01')] }), undefined);
});

test('CPU time of guests is not counted twice, and waiting for disks is no work', () => {
  assert.deepEqual(parseCpuTicks('cpu  10 20 30 400 50 6 7 8 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n'), { busy: 81, all: 531 });
});

test('load is over the interval: a link’s busier direction, none for an interface that was made anew', () => {
  const at = (ms: number, busy: number, all: number, links: [string, { received: number; sent: number }][]) => ({
    at: ms,
    cpu: { busy, all },
    links: new Map(links),
  });
  const before = at(1000, 100, 1000, [
    ['a', { received: 0, sent: 1000 }],
    ['b', { received: 9000, sent: 9000 }],
  ]);
  const now = at(3000, 150, 1200, [
    ['a', { received: 500, sent: 5000 }],
    ['b', { received: 10, sent: 10 }],
    ['c', { received: 77_777, sent: 77_777 }],
  ]);
  assert.deepEqual(loadBetween(before, now), { cpu: 0.25, linkBytesPerSecond: 2000 });
  assert.equal(loadBetween(now, now), undefined);
});

test('a VM’s rates are over the interval and of one QEMU', () => {
  const counters = (change: Partial<VmCounters>): VmCounters => ({
    process: { pid: 7, startTicks: 1 },
    at: 0,
    cpuSeconds: 1,
    residentBytes: 5,
    disk: { read: 0, written: 100 },
    network: { received: 50, sent: 0 },
    ...change,
  });
  const later = { at: 2000, cpuSeconds: 4, residentBytes: 6, disk: { read: 10, written: 300 }, network: { received: 0, sent: 8 } };
  assert.deepEqual(statsBetween(counters({}), counters(later)), {
    cpus: 1.5,
    residentBytes: 6,
    diskBytesPerSecond: { read: 5, written: 100 },
    networkBytesPerSecond: { received: 0, sent: 4 },
  });
  assert.equal(statsBetween(counters({}), counters({ ...later, process: { pid: 7, startTicks: 2 } })), undefined);
});

test('reads what the CPU is and whether it has AES as a word of its flags', () => {
  const cpu = (flags: string) => parseCpuInfo(`processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nflags\t\t: ${flags}\n`);
  assert.deepEqual(cpu('fpu aes sse'), { model: 'Some CPU @ 2.00GHz', aesInstructions: true });
  assert.equal(cpu('fpu vaes aesx').aesInstructions, false);
  assert.equal(parseCpuInfo('Features : fp asimd aes\n').aesInstructions, true);
});
