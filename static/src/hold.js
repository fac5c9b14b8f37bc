/**
 * What an upload holds while it sends: its turn among the files of the page, and its claim among the
 * tabs of the browser.
 *
 * Both are kept while the line is lost: or the next file in the queue would run into the same wall,
 * and two tabs would take the upload from one another for ever.
 */

import { Aborted } from "./errors.js";

/** @typedef {import("./course.js").Collaborators} Collaborators */

export class Hold {
  #shared;
  /** @type {(() => void) | null} */
  #give_back = null;
  /** @type {(() => void) | null} */
  #let_go = null;

  /** @param {Collaborators} shared */
  constructor(shared) {
    this.#shared = shared;
  }

  /**
   * Wait for the turn; at once, if it is held already.
   *
   * @param {AbortSignal} signal
   * @param {object} options
   * @param {boolean} options.in_front
   * @param {(is_queued: boolean) => void} options.on_queued called before and after a wait
   * @returns {Promise<void>} rejects with Aborted
   */
  async take_turn(signal, { in_front, on_queued }) {
    if (this.#give_back !== null) return;
    const { file_slots } = this.#shared;
    const is_queued = file_slots.is_full;
    if (is_queued) on_queued(true);
    const give_back = await file_slots.take(signal, { in_front });
    if (signal.aborted) {
      give_back();
      throw new Aborted();
    }
    this.#give_back = give_back;
    if (is_queued) on_queued(false);
  }

  /**
   * Take the upload from whatever tab has it, once.
   *
   * @param {string} url
   * @param {() => void} on_lost another tab takes it from here
   */
  claim(url, on_lost) {
    if (this.#let_go !== null) return;
    const { running, surroundings } = this.#shared;
    const let_go = surroundings.claim(url, on_lost);
    running.add(url);
    this.#let_go = () => {
      running.delete(url);
      let_go();
    };
  }

  /** Give back both; again it does nothing. */
  release() {
    this.#give_back?.();
    this.#let_go?.();
  }
}
