/**
 * The books of one connection: which bytes the server has, which are on their way.
 *
 * Two numbers are kept apart everywhere: *tx*, handed to the network, and *acked*, stored by the
 * server. All sums are worked out from the ranges, so no count can drift from another:
 * acked <= tx <= length holds by construction. A new connection gets a new tally; requests of an
 * older one then do no harm by what they still note in theirs.
 */

import { count_bytes, missing, union } from "./ranges.js";

/** @typedef {import("./ranges.js").Range} Range */

/**
 * A chunk under way. `sent` counts its bytes that the network has taken.
 * @typedef {{ readonly range: Range, sent: number }} Flight
 */

export class Tally {
  /**
   * @param {number} length of the whole file, in bytes
   * @param {readonly Range[]} received what the server has already
   */
  constructor(length, received) {
    this.length = length;
    this.received = received;
    this.chunks_acked = 0;
    /** @type {Set<Flight>} */
    this.flights = new Set();
  }

  get bytes_acked() {
    return count_bytes(this.received);
  }

  get bytes_tx() {
    // The server notes a chunk bit by bit, so a part of a flight may be acked before its own
    // answer is here; the union counts such bytes once.
    const sent = [...this.flights].map(({ range: [start], sent }) => /** @type {Range} */ ([start, start + sent]));
    return count_bytes(union(this.received, sent));
  }

  get chunks_tx() {
    return this.chunks_acked + this.flights.size;
  }

  /** Whether no byte is left that is neither stored nor under way. */
  get is_all_taken() {
    return missing(this.#taken, this.length).length === 0;
  }

  /**
   * Begin the next chunk: the first bytes that are neither stored nor under way.
   *
   * @param {number} max_bytes
   * @returns {Flight | null} null if there are none
   */
  take_off(max_bytes) {
    const gap = missing(this.#taken, this.length)[0];
    if (gap === undefined) return null;
    /** @type {Flight} */
    const flight = { range: [gap[0], Math.min(gap[1], gap[0] + max_bytes)], sent: 0 };
    this.flights.add(flight);
    return flight;
  }

  /**
   * Note the server's answer to a chunk.
   *
   * Answers overtake one another, and an older one knows less; hence a union.
   *
   * @param {Flight} flight
   * @param {readonly Range[]} received
   */
  land(flight, received) {
    this.flights.delete(flight);
    this.received = union(this.received, received);
    this.chunks_acked += 1;
  }

  /** Forget what is under way: tx falls back to acked. */
  drop_flights() {
    this.flights.clear();
  }

  get #taken() {
    return union(this.received, [...this.flights].map((flight) => flight.range));
  }
}
