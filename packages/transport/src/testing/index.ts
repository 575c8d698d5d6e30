export * from './attacker.ts';
export * from './attacks.ts';
export { MiniDirection } from './mini.ts';
export * from './pair.ts';
