/** What the benchmarks make of their rounds. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Round, ratio, spreadOf, summarize, turned } from '../bench/measure/figures.ts';
import { chart, comparisons, table } from '../bench/measure/render.ts';

/** The second round was slow for all. */
const rounds: Round[] = [
  { a: { s: 1 }, b: { s: 2 }, c: { s: 4 } },
  { a: { s: 10 }, b: { s: 40 }, c: { s: 20 } },
  { a: { s: 2 }, b: { s: 8 }, c: { s: 16 } },
];

describe('rounds of a benchmark', () => {
  it('come to a median, the mean of the middle two where they are even', () => {
    assert.deepEqual(spreadOf([10, 2, 9]), { median: 9, least: 2, most: 10 });
    assert.equal(spreadOf([4, 1, 2, 100]).median, 3);
    assert.throws(() => spreadOf([]), RangeError);
    assert.equal(summarize(rounds, 'a', 's')?.median, 2);
    assert.equal(summarize(rounds, 'a', 'GB'), undefined);
  });

  it('are compared one by one, with the better of several', () => {
    // 1/2, 10/40, 2/8: the ratio of the medians would be 2/8 as well, and that of the worse 1/4, 1/4, 1/8.
    assert.deepEqual(ratio(rounds, ['a'], ['b'], 's'), { median: 0.25, least: 0.25, most: 0.5 });
    assert.deepEqual(ratio(rounds, ['a'], ['b', 'c'], 's'), { median: 0.5, least: 0.25, most: 0.5 });
    assert.equal(ratio(rounds, ['a'], ['b', 'none'], 's'), undefined);
  });

  it('begin with another variant each', () => {
    assert.deepEqual(turned(['a', 'b', 'c'], 4), ['b', 'c', 'a']);
    assert.deepEqual(turned([], 1), []);
  });

  it('are shown in a table, and in a chart that is well-formed', () => {
    assert.equal(table(rounds, ['s', 'GB']).split('\n')[1], 'a  2.00 (1.00–10.0)  -');
    assert.match(comparisons(rounds, [{ variant: 'a', to: ['b'], figure: 's' }]), /a \/ b +s +0\.25 \(0\.25–0\.50\)/);
    const svg = chart([{ 'a <&> "b"': { s: 1 } }], 's', 'title');
    assert.match(svg, /a &lt;&amp;> &quot;b&quot;/);
    assert.match(svg, /width="480\.0" height="18"/);
  });
});
