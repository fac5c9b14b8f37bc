/** Waiting that can be called off. */

import { Aborted } from "./errors.js";

/** @typedef {import("./surroundings.js").Surroundings} Surroundings */

/**
 * @param {Surroundings} surroundings
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>} rejects with Aborted
 */
export function wait(surroundings, seconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new Aborted());
    const call_off = () => {
      surroundings.clear_timer(timer);
      reject(new Aborted());
    };
    const timer = surroundings.set_timer(() => {
      signal.removeEventListener("abort", call_off);
      resolve();
    }, seconds);
    signal.addEventListener("abort", call_off);
  });
}

/**
 * Wait, but no longer than until the browser wakes up: it is online again, or its page is shown
 * again after it was in the background, where timers hardly run.
 *
 * Waking up only shortens the wait: `navigator.onLine` may be true without any network, so nothing
 * is ever made to depend on it.
 *
 * @param {Surroundings} surroundings
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>} rejects with Aborted
 */
export async function wait_or_wake(surroundings, seconds, signal) {
  const early = fork(signal);
  const forget = surroundings.on_wake(() => early.abort());
  try {
    await wait(surroundings, seconds, early.signal);
  } catch (error) {
    if (signal.aborted) throw error;
  } finally {
    forget();
    early.release();
  }
}

/**
 * What `promise` comes to, unless it is called off before; it goes on unseen then.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} signal
 * @returns {Promise<T>} rejects with Aborted
 */
export async function unless_aborted(promise, signal) {
  promise.catch(() => {}); // whatever it comes to, if nobody waits for it any more
  if (signal.aborted) throw new Aborted();
  let call_off = () => {};
  try {
    return await Promise.race([
      promise,
      new Promise((_, reject) => {
        call_off = () => reject(new Aborted());
        signal.addEventListener("abort", call_off);
      }),
    ]);
  } finally {
    signal.removeEventListener("abort", call_off);
  }
}

/**
 * What `promise` comes to, or what `late` gives or throws if that takes too long.
 *
 * @template T
 * @param {Surroundings} surroundings
 * @param {number} seconds
 * @param {Promise<T>} promise
 * @param {() => T} late
 * @returns {Promise<T>}
 */
export async function within({ set_timer, clear_timer }, seconds, promise, late) {
  /** @type {unknown} */
  let timer;
  const limit = new Promise((resolve) => (timer = set_timer(() => resolve(null), seconds)));
  try {
    return await Promise.race([promise, limit.then(late)]);
  } finally {
    clear_timer(timer);
  }
}

/**
 * An AbortController that follows another signal. Call `release()` when done with it.
 *
 * @param {AbortSignal} signal
 */
export function fork(signal) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  return {
    signal: controller.signal,
    abort,
    release: () => signal.removeEventListener("abort", abort),
  };
}
