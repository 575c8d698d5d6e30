export * from './attacker.ts';
export * from './attacks.ts';
export * from './pair.ts';
