/**
 * How many bytes the next chunk has, and how many chunks are on their way at once.
 *
 * The aim is requests of 3 to 8 seconds: long enough that what surrounds a request does not matter,
 * short enough that a lost one costs little, that the bar moves, and that no proxy loses patience.
 * It begins with one chunk of at most 1 MiB, which any proxy takes and which a slow line carries
 * alone. A quick one doubles the size and adds a lane; a slow one first gives the lanes up, then
 * halves the size. A lost one does both.
 *
 * A refusal for size (413, from the server or from a proxy before it) is not luck but a limit, so it
 * is never forgotten. A size that is lost the first time it is tried may be such a limit without the
 * words (some proxies cut the line), so it is tried again ever more rarely.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

const START_BYTES = MIB; // nginx takes no more until it is told to (client_max_body_size)
const LARGEST_BYTES = 8 * MIB; // it is in memory, twice, while its digest is worked out
const SMALLEST_BYTES = 64 * KIB; // a line of 20 kbit/s carries it within the stall time-out
const SMALLEST_REFUSED_BYTES = KIB;

const QUICK_S = 3;
const SLOW_S = 8;
const FIRST_CAUTION = 16; // chunks

export class Pace {
  bytes = START_BYTES;
  lanes = 1;
  #max_bytes = LARGEST_BYTES;
  #max_lanes = 1;
  #largest_landed = 0;
  #caution = FIRST_CAUTION;
  #chunks_without_growth = 0;

  /**
   * Note what the server says on connection.
   *
   * @param {{ chunk_bytes: number, max_chunk_bytes: number, send_ahead: number }} view
   */
  suggest({ chunk_bytes, max_chunk_bytes, send_ahead }) {
    this.#max_bytes = Math.min(this.#max_bytes, max_chunk_bytes);
    this.bytes = Math.min(this.bytes, this.#largest_landed === 0 ? chunk_bytes : Infinity, this.#max_bytes);
    this.#max_lanes = Math.max(1, send_ahead);
    this.lanes = Math.min(this.lanes, this.#max_lanes);
  }

  /**
   * A chunk has arrived, `seconds` after it was sent off.
   *
   * Only one of the present size says something about that size.
   *
   * @param {number} bytes
   * @param {number} seconds
   */
  landed(bytes, seconds) {
    this.#largest_landed = Math.max(this.#largest_landed, bytes);
    if (bytes !== this.bytes) return;
    if (seconds > SLOW_S) {
      if (this.lanes > 1) this.lanes = 1;
      else this.#shrink();
    } else if (this.#chunks_without_growth > 0) {
      this.#chunks_without_growth -= 1;
    } else if (seconds < QUICK_S) {
      this.bytes = Math.min(this.bytes * 2, this.#max_bytes);
      this.lanes = Math.min(this.lanes + 1, this.#max_lanes);
    }
  }

  /**
   * A chunk was lost on its way.
   *
   * @param {number} bytes
   */
  failed(bytes) {
    if (bytes > this.#largest_landed && this.#largest_landed > 0) {
      this.#chunks_without_growth = this.#caution;
      this.#caution *= 4;
    }
    this.lanes = 1;
    this.#shrink();
  }

  /**
   * A chunk of `bytes` is too large for the server, or for a proxy.
   *
   * @param {number} bytes
   * @param {number | null} limit_bytes where the answer names it
   */
  refused(bytes, limit_bytes) {
    const half = Math.max(SMALLEST_REFUSED_BYTES, Math.floor(bytes / 2));
    this.#max_bytes = Math.min(this.#max_bytes, limit_bytes !== null && limit_bytes < bytes ? limit_bytes : half);
    this.bytes = Math.min(this.bytes, this.#max_bytes);
  }

  #shrink() {
    this.bytes = Math.min(this.#max_bytes, Math.max(SMALLEST_BYTES, Math.floor(this.bytes / 2)));
  }
}
