import assert from 'node:assert/strict';
import { it } from 'node:test';
import { chooseAccelerator, hasVirtualisationFlag, probeQemu } from './capabilities.ts';
import { HypervisorError } from './error.ts';

it('asks the installed QEMU what it can do', async () => {
  const qemu = await probeQemu();
  assert.match(qemu.versionText, /^\d+\.\d+\.\d+$/);
  assert.ok(qemu.machines.includes('pc-q35-7.2') && !qemu.machines.includes('q35') && !qemu.machines.includes('none'));
  assert.ok(qemu.accelerators.includes('tcg'));
  for (const capability of ['multifd', 'events', 'pause-before-switchover', 'late-block-activate']) {
    assert.ok(qemu.migration.includes(capability), capability);
  }
  assert.ok(qemu.cpuModels.includes('qemu64'));
});

for (const [what, binary, code] of [
  ['is missing', '/nonexistent/qemu', 'missing'],
  ['ends at once', '/bin/false', 'start'],
] as const) {
  it(`says so where QEMU ${what}`, async () => {
    await assert.rejects(
      probeQemu(binary),
      (error) => error instanceof HypervisorError && error.code === code && error.message.includes(binary),
    );
  });
}

it('takes KVM only where the CPU and /dev/kvm both allow it', () => {
  const both = ['kvm', 'tcg'] as const;
  assert.equal(chooseAccelerator('auto', both, { cpuFlag: true }), 'kvm');
  assert.equal(chooseAccelerator('auto', both, { cpuFlag: false }), 'tcg');
  assert.equal(chooseAccelerator('auto', both, { cpuFlag: true, problem: 'EACCES' }), 'tcg');
  assert.equal(chooseAccelerator('auto', ['tcg'], { cpuFlag: true }), 'tcg');
  assert.equal(chooseAccelerator('tcg', both, { cpuFlag: true }), 'tcg');
  assert.throws(() => chooseAccelerator('kvm', both, { cpuFlag: false }), /neither the flag vmx nor svm/);
  assert.throws(() => chooseAccelerator('auto', ['kvm'], { cpuFlag: true, problem: 'EACCES' }), HypervisorError);
});

it('reads CPU flags as words', () => {
  assert.ok(hasVirtualisationFlag('processor : 0\nflags\t\t: fpu svm sse\n'));
  assert.ok(!hasVirtualisationFlag('flags\t\t: fpu svmx\nvmx flags\t: tsc_offset\nbugs: vmx\n'));
});
