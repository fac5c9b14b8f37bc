/**
 * Sets of byte ranges: what the server has, what is still missing.
 *
 * A set is a list of half-open ranges `[start, stop)`, sorted, disjoint and not touching one
 * another; the server sends `received` in this form. Values only: nothing here is ever changed in
 * place, nothing knows of requests.
 */

/** @typedef {readonly [start: number, stop: number]} Range */

/**
 * Everything that is in one of the lists, as one set. The lists need not be in order.
 *
 * @param {...readonly Range[]} lists
 * @returns {Range[]}
 */
export function union(...lists) {
  /** @type {[number, number][]} */
  const merged = [];
  for (const [start, stop] of lists.flat().sort((a, b) => a[0] - b[0])) {
    const last = merged[merged.length - 1];
    if (start >= stop) continue;
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], stop);
    else merged.push([start, stop]);
  }
  return merged;
}

/**
 * The gaps of a set within `[0, length)`.
 *
 * @param {readonly Range[]} ranges a set, see above
 * @param {number} length
 * @returns {Range[]}
 */
export function missing(ranges, length) {
  /** @type {Range[]} */
  const gaps = [];
  let position = 0;
  for (const [start, stop] of ranges) {
    if (position < start) gaps.push([position, Math.min(start, length)]);
    position = stop;
  }
  if (position < length) gaps.push([position, length]);
  return gaps;
}

/**
 * @param {readonly Range[]} ranges
 * @returns {number}
 */
export function count_bytes(ranges) {
  return ranges.reduce((bytes, [start, stop]) => bytes + stop - start, 0);
}

/**
 * @param {readonly Range[]} ranges a set, see above
 * @param {Range} range
 * @returns {boolean} whether all of the range is in the set
 */
export function covers(ranges, [start, stop]) {
  return ranges.some((range) => range[0] <= start && stop <= range[1]);
}
