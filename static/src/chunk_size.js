/**
 * How many bytes the next chunk has.
 *
 * Starts at what the server suggests. A failed chunk halves it: on a bad line a smaller one has a
 * better chance. Chunks that arrive bring it back, up to the suggestion. A refusal for size (413,
 * from the server or from a proxy before it) is not luck but a limit, so it is never forgotten.
 */

// Small enough for any proxy worth the name, and four of them at once pass a line of 100 kbit/s
// within the stall time-out (transport.js); large enough that headers do not matter.
const SMALLEST_BYTES = 64 * 1024;

// One step up only after a run of successes, or a chunk that is too large for the line would be
// tried again after each that is not.
const SUCCESSES_TO_GROW = 8;

export class ChunkSize {
  constructor() {
    this.bytes = Infinity;
    this.suggested = Infinity;
    this.refused_limit = Infinity;
    this.successes = 0;
  }

  /**
   * Note what the server says on connection.
   *
   * @param {{ chunk_bytes: number, max_chunk_bytes: number }} view
   */
  suggest({ chunk_bytes, max_chunk_bytes }) {
    this.suggested = Math.min(chunk_bytes, max_chunk_bytes);
    this.bytes = Math.min(this.bytes, this.ceiling);
  }

  /** A chunk of this size has arrived. */
  succeeded() {
    this.successes += 1;
    if (this.successes < SUCCESSES_TO_GROW) return;
    this.successes = 0;
    this.bytes = Math.min(this.bytes * 2, this.ceiling);
  }

  /** A chunk of this size was lost on its way. */
  failed() {
    this.successes = 0;
    this.bytes = Math.min(this.ceiling, Math.max(SMALLEST_BYTES, Math.floor(this.bytes / 2)));
  }

  /**
   * A chunk of this size is too large for the server, or for a proxy.
   *
   * @param {number | null} limit_bytes where the answer names it
   */
  refused(limit_bytes) {
    const tried = this.bytes;
    this.failed();
    this.refused_limit = limit_bytes !== null && limit_bytes < tried ? limit_bytes : this.bytes;
    this.bytes = this.ceiling;
  }

  get ceiling() {
    return Math.min(this.suggested, this.refused_limit);
  }
}
