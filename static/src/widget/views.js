/**
 * What a row shows: worked out from an uploader, or from an upload that an earlier page began.
 *
 * Values only, so that every state can be tested without a page. *Sent*, *stored* and *taken by
 * the app* are three different things, and each is called by its own name.
 */

import { is_over } from "./summary.js";

/** @typedef {import("../../incoming.js").Uploader} Uploader */
/** @typedef {import("../../incoming.js").ResumableUpload} ResumableUpload */
/** @typedef {import("./format.js").Format} Format */
/** @typedef {import("./make.js").Icon} Icon */

/** @typedef {{format: Format} & ReturnType<typeof import("./texts.js").create_texts>} Words */
/** @typedef {"pause" | "resume" | "retry" | "choose_again" | "continue"} MainAction */
/** @typedef {"cancel" | "remove" | "discard"} EndAction */

/**
 * - `idle`: waits for its turn or for a person; `busy`: is being sent; `waits`: something is in its
 *   way; `good`, `bad`, `gone`: over
 *
 * @typedef {"idle" | "busy" | "waits" | "good" | "bad" | "gone"} Tone
 */

/**
 * @typedef {object} View
 * @property {Tone} tone
 * @property {Icon} icon
 * @property {string} status
 * @property {MainAction | null} main
 * @property {EndAction | null} end
 * @property {number} stored from 0 to 1
 * @property {number} sent from 0 to 1
 * @property {boolean} pulse nothing can be counted, but something is going on
 */

/** What failed because of the file itself is not mended by sending the same again. */
const NEEDS_FILE = ["file_unreadable", "file_changed"];
const HOPELESS = ["file_too_large"];

/**
 * @param {Uploader} uploader
 * @param {Words} words
 * @param {{has_file: boolean, cancel_asked: boolean}} facts of the page
 * @returns {View}
 */
export function view_of_uploader(uploader, words, { has_file, cancel_asked }) {
  const { text, format, join } = words;
  const { phase, bytes_total, bytes_acked, bytes_tx, trouble_code } = uploader;
  const amount = text("amount", { stored: format.bytes(bytes_acked), total: format.bytes(bytes_total) });
  const view = {
    ...look(phase),
    main: uploader.can_pause ? (phase === "paused" ? "resume" : "pause") : null,
    end: uploader.can_cancel ? "cancel" : null,
    // For an empty file there is nothing to count.
    stored: phase === "finished" ? 1 : bytes_total === 0 ? 0 : bytes_acked / bytes_total,
    sent: bytes_total === 0 ? 0 : bytes_tx / bytes_total,
    pulse: false,
  };

  switch (phase) {
    case "new":
    case "queued":
      view.status = join(text("queued"), bytes_acked ? amount : format.bytes(bytes_total));
      break;
    case "connecting":
    case "uploading":
    case "handing_over":
      view.pulse = uploader.handing_over;
      view.status = uploader.handing_over
        ? text("handing_over")
        : phase === "connecting"
          ? text("connecting")
          : moving(uploader, amount, words);
      break;
    case "paused":
      view.status = join(text("paused"), amount);
      break;
    case "cancelling":
      view.status = text("cancelling");
      break;
    case "finished":
      view.status = join(text("finished"), format.bytes(bytes_total));
      break;
    case "cancelled":
      view.status =
        uploader.cancel_msg && !cancel_asked
          ? text("cancelled_because", { reason: uploader.cancel_msg })
          : text("cancelled");
      break;
    case "failed": {
      const code = uploader.error_code ?? "";
      view.status = error_text(code, uploader.error_msg, words);
      if (!HOPELESS.includes(code)) view.main = has_file && !NEEDS_FILE.includes(code) ? "retry" : "choose_again";
    }
  }
  if (is_over(uploader)) view.end = "remove";
  else if (trouble_code && phase !== "cancelling") {
    Object.assign(view, { tone: "waits", icon: uploader.handing_over ? "clock" : "alert" });
    view.status = trouble_text(uploader, words);
  }
  return /** @type {View} */ (view);
}

/**
 * @param {ResumableUpload} resumable
 * @param {Words} words
 * @param {{working: boolean, problem: {code?: string, message: string} | null}} facts of the page
 * @returns {View}
 */
export function view_of_resumable(resumable, words, { working, problem }) {
  const { text, format, join } = words;
  const { bytes_acked, bytes_total, expires_at, in_another_tab, has_file_handle } = resumable;
  const stored = bytes_acked === null || bytes_total === 0 ? 0 : bytes_acked / bytes_total;
  const away = in_another_tab || working;
  return {
    tone: problem ? "bad" : "idle",
    icon: problem ? "alert" : "pause",
    status: in_another_tab
      ? text("in_another_tab")
      : problem
        ? error_text(problem.code ?? "", problem.message, words)
        : join(
            text("unfinished"),
            bytes_acked !== null && text("stored", { percent: format.percent(stored) }),
            !has_file_handle && text("choose_to_continue"),
            expires_at && text("kept_until", { time: format.date(expires_at) }),
          ),
    main: away ? null : "continue",
    end: away ? null : "discard",
    stored,
    sent: stored,
    pulse: working,
  };
}

/**
 * @param {string} code
 * @param {string | null} message of the server, in whatever language
 * @param {Words} words
 */
export function error_text(code, message, { text, first_of }) {
  return text(first_of(`error_${code}`, "error_other"), { message: message ?? code });
}

/** @param {Uploader} uploader @param {Words} words */
function trouble_text({ trouble_code, trouble_msg }, { text, first_of }) {
  const key = first_of(`trouble_${trouble_code}`, /^http_[45]/.test(trouble_code ?? "") ? "trouble_server" : "trouble_other");
  return text(key, { message: trouble_msg ?? trouble_code ?? "" });
}

/** @param {Uploader} uploader @param {string} amount @param {Words} words */
function moving({ bytes_per_s, seconds_left }, amount, { text, format, join }) {
  return join(
    amount,
    bytes_per_s !== null && format.speed(bytes_per_s),
    seconds_left !== null && text("time_left", { time: format.duration(seconds_left) }),
  );
}

/** @param {Uploader["phase"]} phase @returns {{tone: Tone, icon: Icon, status: string}} */
function look(phase) {
  /** @type {Record<Uploader["phase"], [Tone, Icon]>} */
  const looks = {
    new: ["idle", "clock"],
    queued: ["idle", "clock"],
    connecting: ["busy", "file"],
    uploading: ["busy", "file"],
    handing_over: ["busy", "clock"],
    paused: ["idle", "pause"],
    cancelling: ["gone", "cross"],
    finished: ["good", "check"],
    cancelled: ["gone", "cross"],
    failed: ["bad", "alert"],
  };
  const [tone, icon] = looks[phase];
  return { tone, icon, status: "" };
}
