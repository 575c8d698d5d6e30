/** `npm run bench -- crypto`: AES-256-GCM by the transport's own binding, in place, one thread. No data plane that seals can cost less a side. */
import { randomFillSync } from 'node:crypto';
import { headerBytes, keyBytes, maxDataBytes, tagBytes } from '../../packages/transport/src/constants.ts';
import { Aead } from '../../packages/transport/src/native/evp.ts';
import { allocate, freeMemory } from '../../packages/transport/src/native/memory.ts';
import type { Figures } from '../measure/figures.ts';
import { runSuite, type Variant } from '../measure/suite.ts';

/** Bytes of plaintext in a record; the last is what the transport seals where there is enough. */
const sizes = [4096, 16_384, 65_536, 131_072, maxDataBytes];

/** Seals, or opens, the same buffer over and over, each record with its nonce, its 16 bytes of additional data and its tag. */
function measure(direction: 'seal' | 'open', size: number, bytes: number): Figures {
  const memory = allocate(headerBytes + size + tagBytes);
  const key = randomFillSync(new Uint8Array(keyBytes));
  const aead = new Aead(key, direction);
  try {
    const [header, data, tag] = [memory.address, memory.address + headerBytes, memory.address + headerBytes + size];
    randomFillSync(memory.bytes);
    const records = Math.max(1, Math.ceil(bytes / size));
    const nonce = new DataView(aead.nonce.buffer, aead.nonce.byteOffset, aead.nonce.byteLength);
    const begun = performance.now();
    const cpu = process.cpuUsage();
    for (let sequence = 0; sequence < records; sequence++) {
      if (direction === 'seal') {
        nonce.setUint32(8, sequence);
        aead.seal(header, headerBytes, data, data, size, tag);
      } else {
        // Random bytes are refused at the tag, which is compared last: the work is that of an authentic record.
        aead.open(header, headerBytes, data, data, size, tag);
      }
    }
    const { user, system } = process.cpuUsage(cpu);
    const gigabytes = (records * size) / 1e9;
    return { 'CPU s/GB': (user + system) / 1e6 / gigabytes, 'wall s/GB': (performance.now() - begun) / 1000 / gigabytes };
  } finally {
    aead.free();
    freeMemory(memory);
  }
}

const variants = (bytes: number): Variant[] =>
  (['seal', 'open'] as const).flatMap((direction) =>
    sizes.map((size) => ({
      name: `${direction} ${size / 1024} KiB`,
      measure: () => Promise.resolve(measure(direction, size, bytes)),
    })),
  );

export const run = (args: string[]): Promise<number> =>
  runSuite(
    {
      name: 'crypto',
      words: 'AES-256-GCM in place, by the binding of the transport, on one thread, by record size: the limit.',
      mebibytes: 4096,
      quick: { rounds: 3, mebibytes: 1024 },
      figures: ['CPU s/GB', 'wall s/GB'],
      charted: 'CPU s/GB',
      comparisons: [],
      within: async ({ mebibytes }, use) => {
        const all = variants(mebibytes * 1_048_576);
        // The first calls are slower: lazily bound functions, and code that is not compiled yet.
        for (const direction of ['seal', 'open'] as const) measure(direction, 65_536, 67_108_864);
        await use(all);
      },
    },
    args,
  );
