/**
 * A limit on how many of something are under way at once on this page. There are two:
 *
 * - chunks. A browser opens 6 connections to a host and lets every further request wait without a
 *   word (HTTP/1.1). A chunk waiting there looks like one on a dead line, and small calls (is my
 *   upload finished?) would stand in the queue behind megabytes. So chunks queue here and leave some
 *   connections free.
 * - uploads that send. Three files that arrive one after the other are better than thirty that
 *   arrive at the end, or never.
 *
 * First come, first served; who was under way before goes in front.
 */

import { Aborted } from "./errors.js";

export class Slots {
  #number;
  #taken = 0;
  /** @type {(() => void)[]} */
  #queue = [];

  /** @param {number} number */
  constructor(number) {
    this.#number = number;
  }

  /**
   * Change how many there are. Fewer than are taken: none is given until enough have come back.
   *
   * @param {number} number
   */
  resize(number) {
    this.#number = number;
    this.#admit();
  }

  get is_full() {
    return this.#taken >= this.#number;
  }

  /**
   * Wait for a slot. Whoever gets one gives it back once, with the function that this resolves with.
   *
   * @param {AbortSignal} signal
   * @param {{ in_front?: boolean }} [options]
   * @returns {Promise<() => void>} calling it again does nothing; rejects with Aborted
   */
  take(signal, { in_front = false } = {}) {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new Aborted());
      const leave = () => {
        this.#queue = this.#queue.filter((other) => other !== enter);
        reject(new Aborted());
      };
      const enter = () => {
        signal.removeEventListener("abort", leave);
        this.#taken += 1;
        let is_mine = true;
        resolve(() => {
          if (!is_mine) return;
          is_mine = false;
          this.#taken -= 1;
          this.#admit();
        });
      };
      signal.addEventListener("abort", leave);
      if (in_front) this.#queue.unshift(enter);
      else this.#queue.push(enter);
      this.#admit();
    });
  }

  #admit() {
    while (this.#queue.length > 0 && !this.is_full) this.#queue.shift()?.();
  }
}
