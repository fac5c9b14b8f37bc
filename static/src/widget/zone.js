/**
 * Where files come in: two real `<input type=file>`, each in a label that looks like a button, and
 * everything of the element as a place to drop on.
 *
 * The inputs are only unseen, never gone: they have the focus, the keyboard opens them, a screen
 * reader finds them, and so does a test. (`showOpenFilePicker` would give a handle on the file, but
 * leaves out cameras, `accept` as people know it, and every test that waits for a file chooser; a
 * drop gives the handle, too.)
 */

import { files_of_drop, files_of_input } from "./files.js";
import { make, make_icon } from "./make.js";

/** @typedef {import("./files.js").Catch} Catch */
/** @typedef {import("./make.js").Icon} Icon */
/** @typedef {import("./views.js").Words} Words */

/** @typedef {{multiple: boolean, folders: boolean, accept: string, disabled: boolean}} Settings */

/**
 * @param {HTMLElement} host
 * @param {(caught: Catch) => void} on_files
 */
export function create_zone(host, on_files) {
  const document = host.ownerDocument;
  const files = create_chooser("choose choose-files", "file");
  const folder = create_chooser("choose choose-folder", "folder");
  folder.input.webkitdirectory = true;
  // For going on with one certain file.
  const again = make(document, "input", { type: "file", tabindex: "-1", "aria-hidden": "true" });
  again.hidden = true;
  /** @type {((file: File) => void) | null} */
  let on_again = null;

  const hint = make(document, "div", { part: "hint" });
  const notice = make(document, "div", { part: "notice", role: "alert" });
  const node = make(
    document,
    "div",
    { part: "zone" },
    make_icon(document, "upload").node,
    hint,
    make(document, "div", { class: "buttons" }, files.node, folder.node),
    notice,
    again,
  );
  let disabled = false;

  again.addEventListener("change", () => {
    const [file] = again.files ?? [];
    again.value = "";
    if (file) on_again?.(file);
  });

  // While it is disabled too: what nobody takes, the browser opens in place of the page.
  const brings_files = (/** @type {DragEvent} */ { dataTransfer }) => dataTransfer?.types.includes("Files");
  const set_over = (/** @type {boolean} */ over) => node.classList.toggle("over", over);
  for (const type of /** @type {const} */ (["dragenter", "dragover"])) {
    host.addEventListener(type, (event) => {
      if (!brings_files(event)) return;
      event.preventDefault();
      if (event.dataTransfer) event.dataTransfer.dropEffect = disabled ? "none" : "copy";
      set_over(!disabled);
    });
  }
  host.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!host.contains(/** @type {Node | null} */ (relatedTarget))) set_over(false);
  });
  host.addEventListener("drop", async (event) => {
    if (!brings_files(event) || !event.dataTransfer) return;
    event.preventDefault();
    set_over(false);
    if (!disabled) on_files(await files_of_drop(event.dataTransfer));
  });

  return {
    node,
    input: files.input,

    /** @param {Settings} settings @param {Words} words */
    update({ multiple, folders, accept, disabled: now_disabled }, { text }) {
      disabled = now_disabled;
      node.classList.toggle("off", disabled);
      files.input.multiple = multiple;
      files.input.accept = again.accept = accept;
      folder.node.hidden = !folders;
      for (const { input } of [files, folder]) input.disabled = disabled;
      hint.hidden = disabled;
      files.label.textContent = text(multiple ? "choose_files" : "choose_file");
      folder.label.textContent = text("choose_folder");
      hint.textContent = text(folders ? "drop_files_or_folders" : multiple ? "drop_files" : "drop_file");
    },

    /** Say what was wrong with what came in; empty if nothing. @param {string} sentence */
    tell(sentence) {
      notice.textContent = sentence;
    },

    /** Ask for one file. Call it from a click. @param {(file: File) => void} callback */
    ask_for_file(callback) {
      on_again = callback;
      again.click();
    },
  };

  /** @param {string} part @param {Icon} icon */
  function create_chooser(part, icon) {
    const input = make(document, "input", { type: "file", class: "unseen-input" });
    const label = make(document, "span");
    input.addEventListener("change", () => {
      const found = files_of_input(input);
      input.value = ""; // so that the same file can be chosen again
      if (found.length > 0) on_files({ found, unread: [] });
    });
    return { node: make(document, "label", { part: `button ${part}` }, make_icon(document, icon).node, label, input), label, input };
  }
}
