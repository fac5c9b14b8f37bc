/** Entry for a classic script tag: defines the global `incoming`. The only room that touches globalThis. */

import { create_library } from "./library.js";

// currentScript is known only while the script is first run.
const script = /** @type {HTMLScriptElement | null} */ (document.currentScript);

Object.assign(globalThis, {
  incoming: create_library(script?.src || null),
});
