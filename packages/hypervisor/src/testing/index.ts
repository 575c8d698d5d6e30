export * from './fake-qemu.ts';
export * from './paths.ts';
export * from './relay.ts';
