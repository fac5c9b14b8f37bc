/**
 * Entry for a classic script tag: defines the global `incoming` and the element. If the library is
 * there already, the element uses that one, so that all of the page's uploads share one queue.
 */

import { create_library } from "../library.js";
import { browser } from "../surroundings.js";
import { create_element_class } from "./element.js";

// currentScript is known only while the script is first run.
const script = /** @type {HTMLScriptElement | null} */ (document.currentScript);
const page = /** @type {{incoming?: import("../../incoming.js").Library}} */ (globalThis);

page.incoming ??= create_library(script?.src || null);
if (!customElements.get("incoming-upload")) {
  customElements.define("incoming-upload", create_element_class(page.incoming, browser, HTMLElement));
}
