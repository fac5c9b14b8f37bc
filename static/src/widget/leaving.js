/**
 * What must not happen while something is being sent: that the page is left by mistake, and that
 * the screen goes dark and the line with it, as phones do.
 *
 * Both are undone as soon as nothing needs them: a page with a `beforeunload` listener cannot be
 * kept for the back button.
 */

/**
 * @param {Window} window
 * @returns {(needed: boolean) => void}
 */
export function create_leave_guard(window) {
  let guarding = false;
  const ask = (/** @type {BeforeUnloadEvent} */ event) => {
    event.preventDefault();
    event.returnValue = true; // for browsers before 2023
  };
  return (needed) => {
    if (needed === guarding) return;
    guarding = needed;
    if (needed) window.addEventListener("beforeunload", ask);
    else window.removeEventListener("beforeunload", ask);
  };
}

/**
 * Best effort: a browser may refuse, and takes the lock away whenever the page is hidden.
 *
 * @param {Document} document
 * @param {WakeLock | undefined} wake_lock
 * @returns {(needed: boolean) => void}
 */
export function create_screen_guard(document, wake_lock) {
  let needed = false;
  /** @type {Promise<WakeLockSentinel | null> | undefined} */
  let lock;
  const acquire = () => {
    // The browser itself takes it away while the page is not seen.
    if (document.visibilityState === "visible") lock = wake_lock?.request("screen").catch(() => null);
  };

  return (now_needed) => {
    if (now_needed === needed) return;
    needed = now_needed;
    if (needed) {
      document.addEventListener("visibilitychange", acquire);
      acquire();
    } else {
      document.removeEventListener("visibilitychange", acquire);
      lock?.then((held) => held?.release()).catch(() => {});
    }
  };
}
