/**
 * Making nodes with the DOM alone: no markup is ever parsed, so that no file name can become
 * markup, and a strict content security policy has nothing to forbid.
 */

const SVG = "http://www.w3.org/2000/svg";

/** Drawn with a line of 2 in a square of 24. */
export const ICONS = {
  upload: "M12 16V4m-5 5 5-5 5 5M4 15v4q0 1 1 1h14q1 0 1-1v-4",
  folder: "M3 7q0-1 1-1h5l2 2.5h9q1 0 1 1V18q0 1-1 1H4q-1 0-1-1z",
  file: "M14 3H7Q6 3 6 4v16q0 1 1 1h10q1 0 1-1V7zv4h4",
  clock: "M12 4a8 8 0 1 0 .01 0M12 8v4.5l3 1.5",
  pause: "M9 6v12m6-12v12",
  play: "M8 5.5v13l10.5-6.5z",
  again: "M19.5 13a7.5 7.5 0 1 1-2-6.2L20 9.3M20 4v5.3h-5.3",
  cross: "m7 7 10 10m0-10L7 17",
  check: "m5 12.5 4.5 4.5L19 7.5",
  alert: "M12 5v8.5m0 5v.1",
};

/** @typedef {keyof typeof ICONS} Icon */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Document} document
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(document, tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/**
 * @param {Document} document
 * @param {Icon} [icon]
 */
export function make_icon(document, icon) {
  const node = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  node.setAttribute("viewBox", "0 0 24 24");
  node.setAttribute("aria-hidden", "true");
  node.append(path);
  const draw = (/** @type {Icon} */ name) => path.setAttribute("d", ICONS[name]);
  if (icon) draw(icon);
  return { node, draw };
}
