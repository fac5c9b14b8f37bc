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
 * Wait, but no longer than until the browser says that it is online again.
 *
 * The event only shortens the wait: `navigator.onLine` may be true without any network, so nothing
 * is ever made to depend on it.
 *
 * @param {Surroundings} surroundings
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>} rejects with Aborted
 */
export async function wait_or_online(surroundings, seconds, signal) {
  const early = fork(signal);
  const forget = surroundings.on_online(() => early.abort());
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
