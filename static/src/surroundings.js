/**
 * What the library needs of the place it runs in, and how a browser provides it.
 *
 * Everything else takes this as an argument and never asks where it runs; tests hand in a clock
 * of their own.
 */

/**
 * @typedef {object} Surroundings
 * @property {() => string} page_url
 * @property {(callback: () => void, seconds: number) => unknown} set_timer returns a handle
 * @property {(handle: any) => void} clear_timer
 * @property {() => number} now_s seconds since some moment in the past
 * @property {() => number} random a number in [0, 1)
 * @property {(callback: () => void) => (() => void)} on_online returns a function that forgets the callback
 * @property {(error: unknown) => void} report makes an error of the page's own visible to its developer
 */

/** @type {Surroundings} */
export const browser = {
  page_url: () => location.href,
  set_timer: (callback, seconds) => setTimeout(callback, seconds * 1000),
  clear_timer: (handle) => clearTimeout(handle),
  now_s: () => performance.now() / 1000,
  random: () => Math.random(),
  on_online(callback) {
    addEventListener("online", callback);
    return () => removeEventListener("online", callback);
  },
  report(error) {
    // Thrown where it can break nothing, so that it shows in the console and in window.onerror.
    setTimeout(() => {
      throw error;
    });
  },
};
