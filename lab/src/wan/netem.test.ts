import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changed, cleanLine, parseChange } from './conditions.ts';
import { netemWords } from './netem.ts';

const words = (text: string) => netemWords(changed(cleanLine, parseChange(text))).join(' ');

test('netem is told the same line', () => {
  // A queue of 1000 full frames, and 10 ms at 100 Mb/s on the way: 125,000 bytes.
  assert.equal(words('rtt=20ms,rate=100mbit'), 'netem limit 1083 rate 100000000bit delay 10000us');
  assert.equal(
    words('rtt=20ms,rate=100mbit,queue=0kb,jitter=5ms,loss=0.1%,reorder=1%'),
    'netem limit 124 rate 100000000bit delay 12500us 2500us loss random 0.1% reorder 1%',
  );
  assert.equal(words('reorder=1%'), 'netem limit 1000 rate 1000000000bit delay 0us');
  assert.equal(words('rtt=20ms,loss=1%,down'), 'blackhole');
});
