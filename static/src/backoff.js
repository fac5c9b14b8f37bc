/**
 * How long to wait before the next try.
 *
 * Exponential with full jitter: after a restart of the server its clients come back spread over
 * the whole interval instead of all at once. The first wait is short, because most lost lines are
 * back at once; progress makes the next wait short again.
 */

const FIRST_S = 0.5;
const LONGEST_S = 60;

export class Backoff {
  #random;
  #failures = 0;
  #most_bytes = 0;

  /** @param {() => number} random a number in [0, 1) */
  constructor(random) {
    this.#random = random;
  }

  /** @returns {number} seconds */
  next() {
    const limit_s = Math.min(LONGEST_S, FIRST_S * 2 ** this.#failures);
    this.#failures += 1;
    return limit_s * this.#random();
  }

  reset() {
    this.#failures = 0;
  }

  /**
   * Progress is that more is stored than ever before: not an answer, nor the same bytes again.
   *
   * @param {number} bytes stored
   */
  reached(bytes) {
    if (bytes <= this.#most_bytes) return;
    this.#most_bytes = bytes;
    this.reset();
  }
}
