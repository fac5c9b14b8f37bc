/**
 * A limit on how many chunks of this page are under way at once, over all its uploads.
 *
 * A browser opens 6 connections to a host and lets every further request wait without a word
 * (HTTP/1.1). A chunk waiting there looks like one on a dead line, and small calls (is my upload
 * finished?) would stand in the queue behind megabytes. So chunks queue here, first come first
 * served, and leave some connections free.
 */

import { Aborted } from "./errors.js";

export class Slots {
  /** @param {number} number */
  constructor(number) {
    this.free = number;
    /** @type {(() => void)[]} */
    this.queue = [];
  }

  /**
   * Wait for a slot. Whoever gets one calls `give_back()` once.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<void>} rejects with Aborted
   */
  take(signal) {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new Aborted());
      if (this.free > 0) {
        this.free -= 1;
        return resolve();
      }
      const leave = () => {
        this.queue = this.queue.filter((other) => other !== enter);
        reject(new Aborted());
      };
      const enter = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      signal.addEventListener("abort", leave);
      this.queue.push(enter);
    });
  }

  give_back() {
    const enter = this.queue.shift();
    if (enter === undefined) this.free += 1;
    else enter();
  }
}
