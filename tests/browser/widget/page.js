/** Defines the element over the fake library, and hands both to the test. */

import { create_element_class } from "/src/widget/element.js";
import { browser } from "/src/surroundings.js";
import { fake, library, Resumable } from "./fake_incoming.js";

const events = [];
for (const name of ["added", "finished", "error", "cancelled", "all-over"]) {
  document.addEventListener(`incoming-${name}`, (event) => events.push([event.type, event.detail]));
}
Object.assign(globalThis, {
  fake,
  events,
  Resumable,
  /** A file that is said to be of this size. */
  file: (name, size, type = "") => Object.assign(new File(["x".repeat(10)], name, { type }), { pretended_size: size }),
  /** Put an element on the page; `more` are properties. */
  show(attributes, { resumables = [], ...more } = {}) {
    fake.resumables = resumables.map((facts) => new Resumable(facts));
    const element = document.createElement("incoming-upload");
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    Object.assign(element, more);
    document.querySelector("form").append(element);
    globalThis.element = element;
  },
});
customElements.define("incoming-upload", create_element_class(library, browser, HTMLElement));
