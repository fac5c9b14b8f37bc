import assert from "node:assert/strict";
import { test } from "node:test";

import { count_bytes, covers, missing, union } from "../../static/src/ranges.js";

const LENGTH = 24;

/** A small generator with a seed: the same "random" cases in every run. */
function random_numbers(seed) {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
}

const positions = (ranges) => {
  const set = new Set();
  for (const [start, stop] of ranges) for (let position = start; position < stop; position++) set.add(position);
  return set;
};

const sorted = (set) => [...set].sort((a, b) => a - b);

test("sets of ranges behave like sets of positions", () => {
  const random = random_numbers(42);
  for (let round = 0; round < 500; round++) {
    const lists = [0, 1].map(() =>
      Array.from({ length: random(5) }, () => {
        const start = random(LENGTH);
        return [start, start + random(LENGTH - start + 1)];
      }),
    );
    const model = positions(lists.flat());

    const set = union(...lists);
    const gaps = missing(set, LENGTH);

    assert.deepEqual(sorted(positions(set)), sorted(model));
    assert.equal(count_bytes(set), model.size);
    assert.equal(positions(gaps).size, LENGTH - model.size);
    assert.ok([...positions(gaps)].every((position) => !model.has(position)));
    for (let i = 1; i < set.length; i++) assert.ok(set[i - 1][1] < set[i][0], "sorted, disjoint, not touching");
  }
});

test("nothing given is changed in place", () => {
  const given = [Object.freeze([4, 6]), Object.freeze([0, 5])];
  assert.deepEqual(union(Object.freeze(given)), [[0, 6]]);
});

test("an empty file misses nothing", () => {
  assert.deepEqual(missing([], 0), []);
});

test("a range is covered only by one that has all of it", () => {
  const set = [[0, 4], [6, 9]];
  assert.ok(covers(set, [1, 4]));
  assert.ok(covers(set, [6, 9]));
  assert.ok(!covers(set, [3, 7]));
  assert.ok(!covers(set, [8, 10]));
});
