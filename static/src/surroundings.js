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
 * @property {(callback: () => void) => (() => void)} on_wake calls back when the browser is online
 *   again or its page is shown again; returns a function that forgets the callback
 * @property {(error: unknown) => void} report makes an error of the page's own visible to its developer
 * @property {() => ((bytes: Uint8Array<ArrayBuffer>) => Promise<ArrayBuffer>) | null} find_sha256 null where the
 *   browser has none: for that a page must have come by https or from localhost
 * @property {(name: string, on_lost: () => void) => (() => void)} claim takes the name from whoever
 *   has it in any tab and calls back when somebody takes it from here; returns a function that lets go
 * @property {() => Promise<Set<string>>} find_claims all names that are claimed in any tab
 * @property {() => Storage | null} storage that outlives the page; null where there is none
 * @property {() => IDBFactory | null} databases
 */

/** @type {Surroundings} */
export const browser = {
  page_url: () => location.href,
  set_timer: (callback, seconds) => setTimeout(callback, seconds * 1000),
  clear_timer: (handle) => clearTimeout(handle),
  now_s: () => performance.now() / 1000,
  random: () => Math.random(),
  on_wake(callback) {
    const when_visible = () => {
      if (document.visibilityState === "visible") callback();
    };
    addEventListener("online", callback);
    addEventListener("pageshow", callback);
    document.addEventListener("visibilitychange", when_visible);
    return () => {
      removeEventListener("online", callback);
      removeEventListener("pageshow", callback);
      document.removeEventListener("visibilitychange", when_visible);
    };
  },
  report(error) {
    // Thrown where it can break nothing, so that it shows in the console and in window.onerror.
    setTimeout(() => {
      throw error;
    });
  },
  find_sha256: () => (crypto.subtle ? (bytes) => crypto.subtle.digest("SHA-256", bytes) : null),
  claim(name, on_lost) {
    let let_go = () => {};
    let is_mine = true;
    const until_let_go = () => (is_mine ? new Promise((resolve) => (let_go = () => resolve(null))) : null);
    // Web Locks end with their tab, however it ends. An insecure page has none: then two tabs may
    // send the same bytes twice, which harms nothing.
    navigator.locks?.request(name, { steal: true }, until_let_go).catch((error) => {
      if (is_mine && error.name === "AbortError") on_lost();
    });
    return () => {
      is_mine = false;
      let_go();
    };
  },
  async find_claims() {
    const { held = [] } = (await navigator.locks?.query().catch(() => null)) ?? {};
    return new Set(held.map(({ name }) => name ?? ""));
  },
  storage() {
    try {
      return localStorage;
    } catch {
      return null; // forbidden by the person, or in a sandboxed frame
    }
  },
  databases() {
    try {
      return indexedDB;
    } catch {
      return null;
    }
  },
};
