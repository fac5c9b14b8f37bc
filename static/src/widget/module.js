/**
 * Entry for `import`: the library's exports, and the element, defined. Where there is no page, as
 * on a server that renders one, it can be imported and defines nothing.
 */

import { create_library } from "../library.js";
import { browser } from "../surroundings.js";
import { create_element_class } from "./element.js";

const library = create_library(import.meta.url);

export const { configure, resumable, set_server_hostname, tickets_from, Uploader } = library;

const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (/** @type {unknown} */ (class {}));
export const IncomingUploadElement = create_element_class(library, browser, Base);

if (globalThis.customElements && !customElements.get("incoming-upload")) {
  customElements.define("incoming-upload", IncomingUploadElement);
}
