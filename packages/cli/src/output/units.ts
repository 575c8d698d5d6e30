/** Quantities as people read and write them. Sizes of memory are binary (MiB), rates of a line decimal (MB/s), as is the custom of each. */

const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** @param count bytes */
export function formatBytes(count: number): string {
  let value = count;
  let unit = 0;
  for (; value >= 1024 && unit < sizes.length - 1; unit++) value /= 1024;
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${sizes[unit]}`;
}

/** @param megabytes 10^6 bytes a second */
export const formatRate = (megabytes: number): string =>
  megabytes >= 1000 ? `${(megabytes / 1000).toFixed(2)} GB/s` : `${megabytes.toFixed(megabytes >= 100 ? 0 : 1)} MB/s`;

export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${milliseconds.toFixed(milliseconds < 10 ? 2 : 1)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(2)} s`;
  const whole = Math.round(seconds);
  const pad = (part: number): string => String(part).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(whole % 60)} h` : `${minutes}:${pad(whole % 60)} min`;
}

/** In UTC, to the second: the same on every machine that looks at the same manager. */
export const formatTime = (timestamp: number): string =>
  new Date(timestamp)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');

const factors: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** Bytes of a size such as `500M` (10^6), `2Gi` (2^30), `1.5G` or `1000`; undefined where it is none. */
export function parseSize(text: string): number | undefined {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?(?:\/s)?$/i.exec(text.trim()) ?? [];
  const factor = factors[unit.toLowerCase()];
  return number === undefined || factor === undefined ? undefined : Math.round(Number(number) * factor);
}
