/**
 * Bytes per second, over a sliding window.
 *
 * Of bytes that the server has stored: those that were sent may still sit in a buffer on the way.
 * They come a chunk at a time, hence the length of the window. When nothing comes any more the
 * speed sinks to zero by itself, for it is worked out when somebody asks.
 */

const WINDOW_S = 30;

export class Speed {
  /** @type {{ at_s: number, bytes: number }[]} what was stored when, oldest first */
  #notes = [];

  /** Begin anew: what was stored before is no measure of this connection. */
  reset() {
    this.#notes = [];
  }

  /**
   * @param {number} at_s
   * @param {number} bytes stored so far
   */
  note(at_s, bytes) {
    if (this.#notes.at(-1)?.bytes === bytes) return;
    this.#forget(at_s);
    this.#notes.push({ at_s, bytes });
  }

  /**
   * @param {number} at_s
   * @returns {number | null} null as long as nothing has arrived on this connection
   */
  bytes_per_s(at_s) {
    this.#forget(at_s);
    const [first] = this.#notes;
    const last = this.#notes.at(-1);
    if (first === undefined || last === undefined || at_s <= first.at_s) return null;
    if (last !== first) return (last.bytes - first.bytes) / (at_s - first.at_s);
    return at_s - first.at_s > WINDOW_S ? 0 : null;
  }

  /**
   * All but the last note before the window, from which its first bytes are counted.
   *
   * @param {number} at_s
   */
  #forget(at_s) {
    while (this.#notes.length > 1 && this.#notes[1].at_s <= at_s - WINDOW_S) this.#notes.shift();
  }
}
