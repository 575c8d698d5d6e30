/** How much the demo asks of the guest: what an emulated CPU can answer with time to spare. */
export const connections = 4;
export const writesPerSecond = 1000;
export const markerCount = 2000;
/** Memory that the checker in the guest walks over. */
export const checkerMiB = 16;
