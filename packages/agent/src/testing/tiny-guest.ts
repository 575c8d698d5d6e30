/** The smallest guest that has to do with disks: a raw image to boot from, for a VM with this one disk and a seed. */

/**
 * A boot sector: reads the first sector of the second disk (INT 13h, AH 02h) to 0x7e00, sends its volume label, 11 bytes at 0x2b, to COM1, and
 * writes that sector to its own disk's second (AH 03h), so that its clone has something that its image has not.
 */
const bootSector = Buffer.from(
  [
    '31c0 8ed8 8ec0', // ax, ds, es = 0
    'b80102 bb007e b90100 ba8100 cd13', // read 1 sector, head 0, cylinder 0, sector 1, disk 0x81
    'b80103 b90200 ba8000 cd13', // write it to sector 2 of disk 0x80
    'be2b7e b90b00 baf803 ac ee e2fc', // 11 bytes from 0x7e2b to port 0x3f8
    'f4 ebfd',
  ]
    .join('')
    .replaceAll(' ', ''),
  'hex',
);

/** Of 1 MiB: the firmware reads no disk of less than a cylinder. */
export const tinyGuest = Buffer.alloc(2 ** 20);
bootSector.copy(tinyGuest);
tinyGuest.writeUInt16LE(0xaa55, 510);
