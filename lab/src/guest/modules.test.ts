import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadOrder, moduleName, needsOf } from './modules.ts';

test('a module comes after what it needs, and once', () => {
  const needs: Record<string, string[]> = { net: ['net_failover', 'virtio'], net_failover: ['failover'], pci: ['virtio'] };
  assert.deepEqual(
    loadOrder(['pci', 'net'], (module) => needs[module] ?? []),
    ['virtio', 'pci', 'failover', 'net_failover', 'net'],
  );
});

test('what a module needs is read from its file', () => {
  const image = (text: string) => Buffer.from(`\x7fELF license=GPL\0depends=${text}\0name=x\0`, 'latin1');
  assert.deepEqual(needsOf(image('virtio,net-failover')), ['virtio', 'net_failover']);
  assert.deepEqual(needsOf(image('')), []);
  assert.equal(moduleName('kernel/drivers/char/virtio-rng.ko'), 'virtio_rng');
});
