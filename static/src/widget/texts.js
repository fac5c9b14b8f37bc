/**
 * Every text of the element, and how a page replaces them.
 *
 * A text is a template, `{name}` standing for a value; or one template for each plural category of
 * the language (`{one: …, other: …}`, chosen by `count`); or a function of the values. Numbers
 * among the values are written in the language of the document.
 */

/** @typedef {import("./format.js").Format} Format */
/** @typedef {Record<string, string | number>} Values */
/** @typedef {string | Partial<Record<Intl.LDMLPluralRule, string>> | ((values: Values) => string)} Text */
/** @typedef {keyof typeof DEFAULT_TEXTS} Key */

export const DEFAULT_TEXTS = Object.freeze({
  // the zone
  choose_file: "Choose a file",
  choose_files: "Choose files",
  choose_folder: "Choose a folder",
  drop_file: "Drop a file here",
  drop_files: "Drop files here",
  drop_files_or_folders: "Drop files or folders here",
  one_file_only: "Only one file can be uploaded here.",
  not_accepted: {
    one: "{name} is not of a kind that is taken here.",
    other: "{count} files are not of a kind that is taken here.",
  },
  not_readable: { one: "{name} could not be read.", other: "{count} files could not be read." },

  // buttons; the name of the file follows for those who hear them
  pause: "Pause",
  resume: "Resume",
  cancel: "Cancel",
  retry: "Try again",
  choose_again: "Choose again",
  remove: "Remove from the list",
  continue: "Continue",
  discard: "Discard",
  pause_all: "Pause all",
  resume_all: "Resume all",
  cancel_all: "Cancel all",
  clear: "Clear list",

  // where an upload is; parts of a line are joined by `separator`
  list: "Uploads",
  total: "All uploads",
  separator: " · ",
  queued: "Waiting for its turn",
  connecting: "Connecting…",
  amount: "{stored} of {total}",
  time_left: "{time} left",
  paused: "Paused",
  handing_over: "Waiting for the application…",
  cancelling: "Cancelling…",
  cancelled: "Cancelled",
  cancelled_because: "Cancelled: {reason}",
  finished: "Uploaded",
  unfinished: "Unfinished",
  stored: "{percent} stored",
  choose_to_continue: "choose this file again",
  kept_until: "kept until {time}",
  in_another_tab: "Being sent in another tab",

  // all uploads
  files_finished: { one: "{finished} of {count} file", other: "{finished} of {count} files" },
  files_failed: { one: "{count} failed", other: "{count} failed" },

  // Why one failed: error_ and the error_code; the words of the server where there is no such text.
  // In quotation marks, here and below, for these names are put together, and must not be shortened.
  "error_file_too_large": "It is larger than this server takes.",
  "error_file_unreadable": "It was changed, moved or deleted: choose it again.",
  "error_other": "{message}",

  // what is in its way: trouble_ and the trouble_code
  "trouble_network_error": "The connection is lost. Trying again…",
  "trouble_stalled": "The connection is stuck. Trying again…",
  "trouble_storage_full": "The server has no room. Trying again…",
  "trouble_http_401": "Sign in again, then continue.",
  "trouble_http_403": "Sign in again, then continue.",
  "trouble_forbidden": "Sign in again, then continue.",
  "trouble_server": "The server has a problem. Trying again…",
  "trouble_app_waits": "Waiting for the application: {message}",
  "trouble_other": "{message}",

  // what is said to those who cannot see it
  say_started: { one: "Uploading {name}", other: "Uploading {count} files" },
  say_progress: { one: "{name}: {percent}", other: "{count} files: {percent}" },
  say_paused: { one: "{name} is paused", other: "{count} uploads are paused" },
  say_finished: { one: "{name} is uploaded", other: "{count} files are uploaded" },
  say_failed: { one: "{name}: {message}", other: "{count} files could not be uploaded" },

  // what a form says that cannot be submitted
  form_wait: "Please wait for the upload.",
  form_missing: "Please choose a file.",
});

/**
 * @param {Partial<Record<string, Text>>} own of the page
 * @param {Format} format
 */
export function create_texts(own, format) {
  const defaults = /** @type {Record<string, Text>} */ (DEFAULT_TEXTS);
  const has = (/** @type {string} */ key) => own[key] !== undefined || key in defaults;

  /**
   * @param {string} key
   * @param {Values} [values]
   * @returns {string}
   */
  function text(key, values = {}) {
    let found = own[key] ?? defaults[key] ?? "";
    if (typeof found === "function") return found(values);
    if (typeof found !== "string") {
      // The defaults are English, whatever the language of the document.
      const rules = new Intl.PluralRules(own[key] === undefined ? "en" : format.locale);
      found = found[rules.select(Number(values.count))] ?? found.other ?? "";
    }
    return found.replace(/\{(\w+)\}/g, (hole, name) => {
      const value = values[name];
      return typeof value === "number" ? format.number(value) : (value ?? hole);
    });
  }

  return {
    text,
    /** The first that exists of `keys`, so that a code may have a text of its own. @param {string[]} keys */
    first_of: (...keys) => keys.find(has) ?? "",
    /** @param {(string | null | false)[]} parts */
    join: (...parts) => parts.filter(Boolean).join(text("separator")),
  };
}
