/** The two ends of a disk's way between QEMUs: NBD at the source, a disk stream in between, NBD again at the destination. */
export { MirrorInlet } from './inlet.ts';
export { MirrorOutlet } from './outlet.ts';
