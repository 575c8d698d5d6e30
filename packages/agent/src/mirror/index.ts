/** The two ends of a disk's way between QEMUs: NBD at the source, a disk stream in between, NBD again at the destination. */
export { type Applied, type InletOptions, MirrorInlet } from './inlet.ts';
export { MirrorOutlet, type OutletOptions } from './outlet.ts';
