/**
 * One row of the list: an upload, or one that an earlier page began and that may go on.
 *
 * Light, because there may be thousands: a dozen nodes, two listeners, and nothing is touched whose
 * value has not changed. It has two buttons for good, which change their meaning and not their
 * place, so that the focus stays where it is; if the one that has it goes, the row itself takes it.
 */

import { percent } from "./format.js";
import { make, make_icon } from "./make.js";
import { is_over } from "./summary.js";
import { view_of_resumable, view_of_uploader } from "./views.js";

/** @typedef {import("../../incoming.js").Uploader} Uploader */
/** @typedef {import("../../incoming.js").ResumableUpload} ResumableUpload */
/** @typedef {import("./files.js").Found} Found */
/** @typedef {import("./make.js").Icon} Icon */
/** @typedef {import("./views.js").Words} Words */
/** @typedef {import("./views.js").MainAction} MainAction */
/** @typedef {import("./views.js").EndAction} EndAction */

/**
 * What the row is about; the panel changes it and calls `update`.
 *
 * @typedef {object} Subject
 * @property {Uploader | null} uploader
 * @property {ResumableUpload | null} resumable
 * @property {Found | null} found the file, for another try
 * @property {boolean} cancel_asked
 * @property {boolean} working something that was clicked is not yet done
 * @property {{code?: string, message: string} | null} problem with what was clicked
 */

/** @typedef {ReturnType<typeof create_row>} Row */

/** @type {Record<MainAction | EndAction, Icon>} */
const ACTION_ICONS = {
  pause: "pause",
  resume: "play",
  retry: "again",
  choose_again: "file",
  continue: "play",
  cancel: "cross",
  remove: "cross",
  discard: "cross",
};
/** Those that a person has to read; the others are known by their icons. */
const SPELLED_OUT = ["retry", "choose_again", "continue", "discard"];

let rows = 0;

/**
 * @param {Document} document
 * @param {Partial<Subject>} about
 * @param {(row: Row, action: MainAction | EndAction) => void} act
 */
export function create_row(document, about, act) {
  /** @type {Subject} */
  const subject = { uploader: null, resumable: null, found: null, cancel_asked: false, working: false, problem: null, ...about };
  const number = (rows += 1); // ids are looked up within the shadow root only
  const { filename, relative_path } = /** @type {Uploader | ResumableUpload} */ (subject.uploader ?? subject.resumable);

  const icon = make_icon(document);
  const folder = (relative_path ?? "").split("/").slice(0, -1).join("/");
  const name = make(document, "bdi", { part: "name", id: `name-${number}` }, filename);
  const status = make(document, "div", { part: "status" });
  const sent = make(document, "div", { part: "bar-sent" });
  const stored = make(document, "div", { part: "bar-stored" });
  const bar = make(
    document,
    "div",
    { part: "bar", role: "progressbar", "aria-labelledby": name.id, "aria-valuemin": "0", "aria-valuemax": "100" },
    sent,
    stored,
  );
  const main = create_button("main");
  const end = create_button("end");
  const node = make(
    document,
    "li",
    { part: "row", tabindex: "-1" },
    make(document, "span", { part: "icon" }, icon.node),
    make(
      document,
      "div",
      { class: "title" },
      ...(folder ? [make(document, "bdi", { part: "folder" }, `${folder}/`)] : []),
      name,
    ),
    status,
    main.node,
    end.node,
    bar,
  );

  /** @type {Record<string, unknown>} */
  const shown = {};
  /**
   * @template {string | number | boolean | null} Value
   * @param {string} what
   * @param {Value} value
   * @param {(value: Value) => void} apply
   */
  function show(what, value, apply) {
    if (shown[what] === value) return;
    shown[what] = value;
    apply(value);
  }

  const row = {
    node,
    subject,
    end: end.node,

    /** @param {Words} words */
    update(words) {
      const { uploader, resumable } = subject;
      const view = uploader
        ? view_of_uploader(uploader, words, { has_file: subject.found !== null, cancel_asked: subject.cancel_asked })
        : view_of_resumable(/** @type {ResumableUpload} */ (resumable), words, subject);
      show("state", uploader?.phase ?? "unfinished", (state) => (node.dataset.state = state));
      show("tone", view.tone, (tone) => (node.dataset.tone = tone));
      show("icon", view.icon, icon.draw);
      show("status", view.status, (text) => (status.textContent = text));
      main.update(view.main, words);
      end.update(view.end, words);
      show("pulse", view.pulse, (pulse) => bar.classList.toggle("pulse", pulse));
      show("sent", view.sent, (frac) => (sent.style.inlineSize = `${100 * frac}%`));
      show("stored", view.stored, (frac) => (stored.style.inlineSize = `${100 * frac}%`));
      // Spoken by some with every change: so it changes with the percent and not with the byte.
      const now = percent(view.stored);
      show("spoken", `${now} ${view.tone} ${uploader?.phase}`, () => {
        bar.setAttribute("aria-valuenow", String(now));
        bar.setAttribute("aria-valuetext", words.join(words.format.percent(view.stored), view.status));
      });
    },

    /** Whether nothing is left to do for it. */
    get is_over() {
      return subject.uploader !== null && is_over(subject.uploader);
    },
  };
  return row;

  /** @param {"main" | "end"} place */
  function create_button(place) {
    const icon = make_icon(document);
    const label = make(document, "span", { id: `${place}-${number}` });
    const button = make(
      document,
      "button",
      // "Pause" and the name of the file, in whatever language.
      { type: "button", class: place, "aria-labelledby": `${place}-${number} name-${number}` },
      icon.node,
      label,
    );
    /** @type {MainAction | EndAction | null} */
    let action = null;
    button.addEventListener("click", () => action && act(row, action));
    return {
      node: button,
      /** @param {MainAction | EndAction | null} wanted @param {Words} words */
      update(wanted, { text }) {
        action = wanted;
        show(place, wanted && `${wanted} ${text(wanted)}`, () => {
          if (wanted === null) {
            const root = /** @type {ShadowRoot} */ (node.getRootNode());
            if (root.activeElement === button) node.focus();
          } else {
            icon.draw(ACTION_ICONS[wanted]);
            button.title = label.textContent = text(wanted);
            const spelled_out = SPELLED_OUT.includes(wanted);
            button.setAttribute("part", `action ${wanted.replace("_", "-")}${spelled_out ? " button" : ""}`);
          }
          button.hidden = wanted === null;
        });
      },
    };
  }
}
