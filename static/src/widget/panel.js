/**
 * Everything within one element: the zone, the total, the list, and what keeps them together.
 *
 * Uploads are started at once and wait in the library for their turn, so nothing is queued here and
 * a ticket is asked for only when it is needed. Every change of an uploader marks its row; marked
 * rows are drawn now if the upload has come to another phase, and otherwise at most five times a
 * second. Nothing but drawing depends on a timer.
 */

import { create_announcer, create_voice } from "./announcer.js";
import { is_accepted } from "./files.js";
import { create_format } from "./format.js";
import { create_leave_guard, create_screen_guard } from "./leaving.js";
import { make } from "./make.js";
import { create_row } from "./row.js";
import { is_over, summarise } from "./summary.js";
import { create_texts } from "./texts.js";
import { create_total } from "./total.js";
import { error_text } from "./views.js";
import { create_zone } from "./zone.js";

/** @typedef {import("../../incoming.js").Library} Library */
/** @typedef {import("../../incoming.js").ResumableUpload} ResumableUpload */
/** @typedef {import("../../incoming.js").Ticket} Ticket */
/** @typedef {import("../../incoming.js").Uploader} Uploader */
/** @typedef {import("../surroundings.js").Surroundings} Surroundings */
/** @typedef {import("./files.js").Catch} Catch */
/** @typedef {import("./files.js").Found} Found */
/** @typedef {import("./row.js").Row} Row */
/** @typedef {import("./texts.js").Text} Text */
/** @typedef {import("./views.js").MainAction} MainAction */
/** @typedef {import("./views.js").EndAction} EndAction */
/** @typedef {import("./views.js").Words} Words */
/** @typedef {ReturnType<typeof create_panel>} Panel */

/**
 * @typedef {object} Owner what the element tells, and is told
 * @property {HTMLElement} host
 * @property {ShadowRoot} root
 * @property {() => import("./zone.js").Settings & {texts: Record<string, Text>}} settings
 * @property {() => Ticket} ticket for the next upload
 * @property {(name: string, detail: object) => void} dispatch
 * @property {() => void} on_change after every drawing
 */

const SECONDS_BETWEEN_DRAWINGS = 0.2;
const SECONDS_BETWEEN_LOOKS = 5;

/**
 * @param {Library} library
 * @param {Surroundings} surroundings
 * @param {Owner} owner
 */
export function create_panel(library, surroundings, { host, root, settings, ticket, dispatch, on_change }) {
  const document = host.ownerDocument;
  const window = /** @type {Window} */ (document.defaultView);

  /** In the order of the list. @type {Set<Row>} */
  const rows = new Set();
  /** All that this page has begun, so that they are not offered again. @type {Set<Uploader>} */
  const begun = new Set();
  /** Of the batch that is under way: those that are not over, and those that are. @type {Set<Uploader>} */
  const under_way = new Set();
  /** @type {Uploader[]} */
  let over = [];
  /** @type {Set<Row>} */
  const marked = new Set();
  /** @type {[name: string, message: string][]} */
  let failures = [];
  /** @type {unknown} */
  let timer = null;
  /** @type {unknown} */
  let look_timer;
  let looks = 0;
  let forget_wake = () => {};
  let holding = false;
  /** @type {Words} */
  let words;

  const zone = create_zone(host, receive);
  const total = create_total(document, { pause_all, resume_all, cancel_all, clear }, () => zone.input.focus());
  const list = make(document, "ul", { part: "list", role: "list" });
  const polite = make(document, "div", { class: "unseen", role: "status" });
  const alert = make(document, "div", { class: "unseen", role: "alert" });
  root.append(zone.node, total.node, list, polite, alert);

  const announcer = create_announcer({
    words: () => words,
    speak: create_voice(polite, surroundings.set_timer),
    alarm: create_voice(alert, surroundings.set_timer),
    now_s: surroundings.now_s,
  });
  const guard_leaving = create_leave_guard(window);
  const guard_screen = create_screen_guard(document, window.navigator.wakeLock);

  // drawing

  /** Draw everything anew: the settings or the language may have changed. */
  function refresh() {
    const format = create_format(find_language());
    words = { format, ...create_texts(settings().texts, format) };
    zone.update(settings(), words);
    list.setAttribute("aria-label", words.text("list"));
    for (const row of rows) marked.add(row);
    draw();
  }

  function find_language() {
    return /** @type {HTMLElement | null} */ (host.closest("[lang]"))?.lang;
  }

  function draw() {
    surroundings.clear_timer(timer);
    timer = null;
    for (const row of marked) row.update(words);
    marked.clear();
    list.classList.toggle("many", rows.size > 50); // then only what is in view is laid out
    const sum = summarise(uploads());
    total.update(sum, words);
    announcer.update(uploads(), failures);
    failures = [];
    const waiting = summarise(under_way);
    guard_leaving(waiting.at_risk > 0);
    guard_screen(waiting.at_risk > waiting.paused);
    on_change();
  }

  function draw_soon() {
    if (!holding) timer ??= surroundings.set_timer(draw, SECONDS_BETWEEN_DRAWINGS);
  }

  /** Do many things and draw once. @template Result @param {() => Result} action @returns {Result} */
  function at_once(action) {
    if (holding) return action();
    holding = true;
    try {
      return action();
    } finally {
      holding = false;
      draw();
    }
  }

  // rows

  /** @param {Row} row @param {Uploader} uploader a new one; the row's, from now on */
  function begin(row, uploader) {
    let phase = uploader.phase;
    row.subject.uploader = uploader;
    row.subject.cancel_asked = false;
    begun.add(uploader);
    under_way.add(uploader);
    const changed = () => {
      if (row.subject.uploader === uploader) marked.add(row);
      if (uploader.phase === "cancelling") row.subject.cancel_asked = true;
      if (uploader.phase === phase || holding) return draw_soon();
      phase = uploader.phase;
      draw();
    };
    const ended = (/** @type {Event} */ { type }) => {
      under_way.delete(uploader);
      over.push(uploader);
      if (type === "error") {
        failures.push([uploader.filename, error_text(uploader.error_code ?? "", uploader.error_msg, words)]);
      }
      changed();
      if (!holding) draw();
      dispatch(`incoming-${type}`, { uploader });
      if (under_way.size > 0) return;
      const all = over;
      over = [];
      const of = (/** @type {string} */ wanted) => all.filter((one) => one.phase === wanted);
      dispatch("incoming-all-over", { finished: of("finished"), failed: of("failed"), cancelled: of("cancelled") });
    };
    uploader.addEventListener("progress", changed);
    for (const type of ["finished", "cancelled", "error"]) uploader.addEventListener(type, ended);
    dispatch("incoming-added", { uploader });
    uploader.start();
    marked.add(row);
  }

  /** @param {Found} found */
  function create_uploader({ file, relative_path, file_handle }) {
    return new library.Uploader(ticket(), file, {
      ...(relative_path ? { relative_path } : {}),
      ...(file_handle ? { file_handle } : {}),
    });
  }

  /** @param {Row} row */
  function add_row(row) {
    rows.add(row);
    marked.add(row);
    return row.node;
  }

  /** @param {Row} row */
  function remove_row(row) {
    const beside = row.node.nextElementSibling ?? row.node.previousElementSibling;
    const had_focus = row.node.contains(root.activeElement);
    rows.delete(row);
    row.node.remove();
    if (!had_focus) return;
    const next = [...rows].find(({ node }) => node === beside);
    if (!next) zone.input.focus();
    else if (next.end.hidden) next.node.focus();
    else next.end.focus();
  }

  /** @type {Record<MainAction | EndAction, (row: Row) => void>} */
  const ACTIONS = {
    pause: ({ subject }) => subject.uploader?.pause("pause"),
    resume: ({ subject }) => subject.uploader?.pause("unpause"),
    cancel: ({ subject }) => subject.uploader?.cancel(),
    remove: remove_row,
    retry: (row) => row.subject.found && begin(row, create_uploader(row.subject.found)),
    choose_again: (row) =>
      zone.ask_for_file((file) =>
        attempt(row, async () => {
          // It may be the same file, back again: then what is stored is not lost.
          const same = (await library.resumable()).find((one) => !one.in_another_tab && one.matches(file));
          row.subject.found = { file, relative_path: row.subject.uploader?.relative_path ?? undefined };
          return same ? same.resume(file) : create_uploader(row.subject.found);
        }),
      ),
    continue: (row) => {
      // At once, in the click itself: the browser may have to ask for permission.
      // What is not to be had by the handle, perhaps for want of it, is chosen.
      if (row.subject.resumable?.has_file_handle && !row.subject.problem) go_on(row);
      else zone.ask_for_file((file) => go_on(row, { file }));
    },
    discard: (row) =>
      attempt(row, async () => {
        await row.subject.resumable?.discard();
        remove_row(row);
        look_for_unfinished(); // one that began before would still have it
        return null;
      }),
  };

  /** @param {Row} row @param {Found} [found] */
  function go_on(row, found) {
    return attempt(row, async () => {
      row.subject.found = found ?? null;
      try {
        return await /** @type {ResumableUpload} */ (row.subject.resumable).resume(found?.file);
      } catch (/** @type {any} */ problem) {
        // The server has given it up meanwhile: then from the beginning.
        if (!found || problem.code !== "unknown_upload") throw problem;
        return create_uploader(found);
      }
    });
  }

  /**
   * Something that takes a while, and that another click must not begin again.
   *
   * @param {Row} row
   * @param {() => Promise<Uploader | null>} action gives the row's uploader, if it has a new one
   * @returns {Promise<Uploader | null>}
   */
  async function attempt(row, action) {
    const { subject } = row;
    if (subject.working) return null;
    Object.assign(subject, { working: true, problem: null });
    const promise = action(); // synchronously: see `continue`
    marked.add(row);
    draw_soon();
    /** @type {Uploader | null} */
    let uploader = null;
    try {
      uploader = await promise;
      if (uploader) begin(row, uploader);
    } catch (/** @type {any} */ problem) {
      subject.problem = problem;
      const { filename } = /** @type {Uploader | ResumableUpload} */ (subject.uploader ?? subject.resumable);
      failures.push([filename, error_text(problem.code ?? "", problem.message, words)]);
    }
    subject.working = false;
    marked.add(row);
    draw();
    return uploader;
  }

  // what comes in

  /** @param {Catch} caught */
  function receive({ found, unread }) {
    const { accept, multiple } = settings();
    const { text } = words;
    const fit = found.filter(({ file }) => is_accepted(file, accept));
    const unfit = found.filter(({ file }) => !is_accepted(file, accept));
    const complaints = [
      unread.length > 0 && text("not_readable", { name: unread[0], count: unread.length }),
      unfit.length > 0 && text("not_accepted", { name: unfit[0]?.file.name, count: unfit.length }),
    ];
    if (!multiple && fit.length > 1) zone.tell(text("one_file_only"));
    else {
      zone.tell(complaints.filter(Boolean).join(" "));
      add(fit);
    }
  }

  /**
   * @param {Found[]} found
   * @returns {Promise<Uploader[]>}
   */
  async function add(found) {
    if (found.length === 0) return [];
    const fresh = document.createDocumentFragment();
    let first = /** @type {HTMLElement | null} */ (null);
    const promises = at_once(() => {
      if (!settings().multiple) forget("Replaced by another file");
      const waiting = [...rows].filter(({ subject }) => !subject.uploader);
      const made = found.map((one) => {
        // Copies in two folders differ in nothing but their paths.
        const path = one.relative_path;
        const unfinished = waiting.find(({ subject: { resumable, working } }) => {
          if (working || !resumable || resumable.in_another_tab) return false;
          return (!path || path === resumable.relative_path) && resumable.matches(one.file);
        });
        if (unfinished) return go_on(unfinished, one);
        const uploader = create_uploader(one);
        const row = create_row(document, { uploader, found: one }, act);
        fresh.append(add_row(row));
        begin(row, uploader);
        return uploader;
      });
      first = /** @type {HTMLElement | null} */ (fresh.firstElementChild);
      list.append(fresh);
      return made;
    });
    if (first) list.scrollTop = first.offsetTop;
    return (await Promise.all(promises)).filter((uploader) => uploader !== null);
  }

  /** Cancel all and take them off the list, unless it is too late for that. @param {string} reason */
  function forget(reason) {
    at_once(() => {
      for (const row of rows) {
        const { uploader } = row.subject;
        uploader?.cancel(reason);
        if (uploader && (is_over(uploader) || uploader.cancelling)) remove_row(row);
      }
    });
  }

  /** @param {Row} row @param {MainAction | EndAction} action */
  function act(row, action) {
    ACTIONS[action](row);
    marked.add(row);
    draw();
  }

  /** Offer what an earlier page has begun. Again, to learn what other tabs and the server have done since. */
  async function look_for_unfinished() {
    surroundings.clear_timer(look_timer);
    const look = ++looks;
    const found = await library.resumable().catch(() => []);
    if (look !== looks) return; // a later one knows better
    const unfinished = new Map(found.map((one) => [one.upload_id, one]));
    for (const { upload_id } of begun) unfinished.delete(upload_id ?? "");
    for (const row of [...rows]) {
      const { uploader, resumable, working } = row.subject;
      if (uploader || working || !resumable) continue;
      const now = unfinished.get(resumable.upload_id);
      if (now) {
        row.subject.resumable = now;
        marked.add(row);
      } else remove_row(row);
    }
    for (const { subject } of rows) unfinished.delete(subject.resumable?.upload_id ?? "");
    list.prepend(...[...unfinished.values()].map((resumable) => add_row(create_row(document, { resumable }, act))));
    draw();
    if (list.isConnected && found.some(({ bytes_acked }) => bytes_acked === null)) {
      look_timer = surroundings.set_timer(look_for_unfinished, SECONDS_BETWEEN_LOOKS);
    }
  }

  // all of them

  /** @returns {Uploader[]} in the order of the list */
  function uploads() {
    return [...rows].flatMap(({ subject }) => subject.uploader ?? []);
  }

  function pause_all() {
    at_once(() => under_way.forEach((uploader) => uploader.pause("pause")));
  }

  function resume_all() {
    at_once(() => under_way.forEach((uploader) => uploader.pause("unpause")));
  }

  /** @param {unknown} [reason] */
  function cancel_all(reason) {
    const text = typeof reason === "string" ? reason : undefined; // and not the event of a click
    at_once(() => [...under_way].forEach((uploader) => uploader.cancel(text)));
  }

  function clear() {
    at_once(() => [...rows].filter((row) => row.is_over).forEach(remove_row));
  }

  return {
    refresh,
    add,
    uploads,
    pause_all,
    resume_all,
    cancel_all,
    clear,
    forget,
    input: zone.input,
    /** @param {string} key */
    text: (key) => words.text(key),
    connect() {
      refresh();
      forget_wake = surroundings.on_wake(look_for_unfinished);
      look_for_unfinished();
    },
    disconnect() {
      forget_wake();
      surroundings.clear_timer(look_timer);
    },
  };
}
