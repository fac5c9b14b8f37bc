/** The line above the list: all uploads as one, and buttons for all of them. */

import { percent } from "./format.js";
import { make, make_icon } from "./make.js";

/** @typedef {import("./make.js").Icon} Icon */
/** @typedef {import("./summary.js").Summary} Summary */
/** @typedef {import("./views.js").Words} Words */

/**
 * @param {Document} document
 * @param {object} actions
 * @param {() => void} actions.pause_all
 * @param {() => void} actions.resume_all
 * @param {() => void} actions.cancel_all
 * @param {() => void} actions.clear
 * @param {() => void} focus_elsewhere
 */
export function create_total(document, { pause_all, resume_all, cancel_all, clear }, focus_elsewhere) {
  const sent = make(document, "div", { part: "bar-sent" });
  const stored = make(document, "div", { part: "bar-stored" });
  const bar = make(
    document,
    "div",
    { part: "bar total-bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" },
    sent,
    stored,
  );
  const files = make(document, "div", { part: "total-files" });
  const status = make(document, "div", { part: "total-status" });
  let pausing = true;
  const pause = create_button(() => (pausing ? pause_all() : resume_all()));
  const cancel = create_button(cancel_all, "cross");
  const tidy = create_button(clear, "check");
  const buttons = make(document, "div", { class: "buttons" }, pause.node, cancel.node, tidy.node);
  const node = make(document, "div", { part: "total" }, files, status, buttons, bar);
  node.hidden = true;

  return {
    node,
    /** @param {Summary} sum @param {Words} words */
    update(sum, { text, format, join }) {
      node.hidden = sum.active + sum.over < 2;
      if (node.hidden) return;
      pausing = sum.can_pause > 0 || sum.paused === 0;
      pause.update(sum.can_pause + sum.paused > 0, text(pausing ? "pause_all" : "resume_all"), pausing ? "pause" : "play");
      cancel.update(sum.can_cancel > 0, text("cancel_all"));
      tidy.update(sum.over > 0, text("clear"));
      const whole = format.bytes(sum.bytes_total);
      files.textContent = join(
        text("files_finished", { finished: sum.finished, count: sum.count }),
        sum.failed > 0 && text("files_failed", { count: sum.failed }),
      );
      status.textContent = join(
        sum.active > 0 ? text("amount", { stored: format.bytes(sum.bytes_acked), total: whole }) : whole,
        sum.bytes_per_s > 0 && format.speed(sum.bytes_per_s),
        sum.seconds_left !== null && text("time_left", { time: format.duration(sum.seconds_left) }),
      );
      stored.style.inlineSize = `${100 * sum.frac_stored}%`;
      sent.style.inlineSize = `${100 * sum.frac_sent}%`;
      bar.setAttribute("aria-label", text("total"));
      const now = String(percent(sum.frac_stored));
      if (bar.getAttribute("aria-valuenow") === now) return;
      bar.setAttribute("aria-valuenow", now);
      bar.setAttribute("aria-valuetext", join(format.percent(sum.frac_stored), files.textContent));
    },
  };

  /** @param {() => void} act @param {Icon} [drawing] */
  function create_button(act, drawing) {
    const icon = make_icon(document, drawing);
    const label = make(document, "span");
    const button = make(document, "button", { type: "button", part: "button total-action" }, icon.node, label);
    button.addEventListener("click", act);
    return {
      node: button,
      /** @param {boolean} useful @param {string} text @param {Icon} [drawing] */
      update(useful, text, drawing) {
        if (!useful && /** @type {ShadowRoot} */ (node.getRootNode()).activeElement === button) focus_elsewhere();
        button.hidden = !useful;
        if (label.textContent === text) return;
        label.textContent = text;
        if (drawing) icon.draw(drawing);
      },
    };
  }
}
