/**
 * The course of one upload: from start() through any number of lost lines, pauses and turns in the
 * queue to one of three ends.
 *
 * Keeps the few facts that cannot be worked out (phase, connected, the books, the messages); what a
 * page sees of them is in uploader.js. What is said on one connection is in conversation.js.
 */

import { Backoff } from "./backoff.js";
import { cancel, deliver } from "./conversation.js";
import { Destination } from "./destination.js";
import { Cancelled, HandoverFailure, UploadFailure, is_end, verdict } from "./errors.js";
import { Hold } from "./hold.js";
import { Pace } from "./pace.js";
import { Speed } from "./speed.js";
import { Tally } from "./tally.js";
import { is_receiving } from "./upload_resource.js";
import { wait, wait_or_wake } from "./waiting.js";

/** @typedef {import("./digester.js").Digester} Digester */
/** @typedef {import("./notebook.js").Notebook} Notebook */
/** @typedef {import("./slots.js").Slots} Slots */
/** @typedef {import("./surroundings.js").Surroundings} Surroundings */
/** @typedef {import("./tickets.js").Ticket} Ticket */
/** @typedef {import("./transport.js").Transport} Transport */
/** @typedef {import("./upload_resource.js").UploadView} UploadView */

/**
 * - `new`: nothing has been sent
 * - `uploading`: from start() until the app has the file, with or without a line
 * - `paused`
 * - `cancelling`: asked for, not yet confirmed
 * - `finished`, `cancelled`, `failed`: over
 *
 * @typedef {"new" | "uploading" | "paused" | "cancelling" | "finished" | "cancelled" | "failed"} Phase
 */

/**
 * What all uploads of a page share.
 *
 * @typedef {object} Collaborators
 * @property {Transport} transport
 * @property {Digester} digester
 * @property {Slots} file_slots
 * @property {Slots} chunk_slots
 * @property {Notebook} notebook
 * @property {Set<string>} running URLs of the uploads that this page is sending
 * @property {Surroundings} surroundings
 */

/**
 * @typedef {object} Assignment
 * @property {string} frontend_url
 * @property {Ticket} ticket
 * @property {File} file
 * @property {string | null} relative_path
 * @property {FileSystemFileHandle | null} file_handle
 * @property {boolean} remember whether to note it, so that it can be found after a reload
 */

/**
 * Something that is in the way, though nothing is lost.
 * @typedef {{ readonly code: string, readonly message: string }} Trouble
 */

const CANCELLED_BY_PAGE = "Cancelled by the user";
const IN_ANOTHER_TAB = { code: "in_another_tab", message: "This upload goes on in another tab or window" };

export class Course {
  #shared;
  #tell;

  /** @type {Phase} */
  phase = "new";
  is_queued = false;
  connected = false;
  is_announced = false;
  /** @type {Trouble | null} */
  trouble = null;
  /** @type {string | null} */
  cancel_msg = null;
  /** @type {UploadFailure | null} how it came to nothing */
  failure = null;
  speed = new Speed();

  #task = new AbortController();
  #backoff;
  #pace = new Pace();
  #destination;
  /** @type {import("./upload_resource.js").StoredDigest[]} */
  #sent = [];
  #refusals = 0;

  /**
   * @param {Collaborators} shared
   * @param {Assignment} assignment
   * @param {(what: "progress" | "finished" | "cancelled" | "error") => void} tell
   */
  constructor(shared, assignment, tell) {
    this.#shared = shared;
    this.assignment = assignment;
    this.#tell = tell;
    this.tally = new Tally(assignment.file.size, []);
    this.#backoff = new Backoff(shared.surroundings.random);
    this.#destination = new Destination(shared, assignment);
  }

  /** @returns {string | null} */
  get upload_id() {
    return this.#destination.resource?.upload_id ?? null;
  }

  get is_complete() {
    return this.is_announced && this.tally.bytes_acked === this.tally.length;
  }

  get is_all_sent() {
    return this.is_announced && this.tally.bytes_tx === this.tally.length;
  }

  get bytes_per_s() {
    return this.connected ? this.speed.bytes_per_s(this.#shared.surroundings.now_s()) : null;
  }

  /** Begin, or go on after a pause. */
  upload() {
    this.phase = "uploading";
    this.trouble = null;
    this.#backoff.reset();
    const hold = new Hold(this.#shared);
    this.#persevere((signal) => this.#deliver(signal, hold)).finally(() => hold.release());
    this.#tell("progress");
  }

  pause() {
    this.#pause(null);
  }

  /** @param {Trouble | null} trouble that somebody has to do something about before it can go on */
  #pause(trouble) {
    this.#call_off();
    this.connected = false;
    this.phase = "paused";
    this.cancel_msg = null;
    this.trouble = trouble;
    this.#tell("progress");
  }

  /** @param {string | undefined} reason */
  cancel(reason) {
    const text = String(reason ?? CANCELLED_BY_PAGE);
    this.#call_off();
    this.phase = "cancelling";
    this.trouble = null;
    this.cancel_msg = text;
    this.#persevere((signal) => this.#cancel(text, signal));
    this.#tell("progress");
  }

  // conversations, each tried again until it is settled

  /**
   * Who only waits for the app to take the file holds nothing: it is in nobody's way.
   *
   * @param {AbortSignal} signal
   * @param {Hold} hold
   */
  async #deliver(signal, hold) {
    const { digester, chunk_slots, surroundings } = this.#shared;
    const { file, relative_path } = this.assignment;
    if (!this.is_complete) {
      const on_queued = (/** @type {boolean} */ is_queued) => {
        this.is_queued = is_queued;
        this.#tell("progress");
      };
      await hold.take_turn(signal, { in_front: this.is_announced, on_queued });
    }
    const resource = await this.#destination.load_resource(signal);
    if (!this.is_complete) hold.claim(resource.url, () => this.#unless(signal, () => this.#pause(IN_ANOTHER_TAB)));
    return deliver(
      {
        ...{ file, relative_path, resource, digester, chunk_slots, surroundings },
        ...{ sent: this.#sent, pace: this.#pace, backoff: this.#backoff },
      },
      {
        is_known: this.is_announced,
        on_connected: (tally, view) => this.#unless(signal, () => this.#on_connected(tally, view)),
        on_change: () => this.#unless(signal, () => this.#on_change()),
        on_landed: () => this.#unless(signal, () => this.#on_landed()),
        on_refusal: (failure) => this.#unless(signal, () => this.#on_refusal(failure)),
        on_handover: (view) => {
          hold.release();
          this.#unless(signal, () => this.#on_handover(view));
        },
      },
      signal,
    );
  }

  /**
   * @param {string} reason
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView | null>} null if the server never knew of it
   */
  async #cancel(reason, signal) {
    const resource = await this.#destination.find_resource(signal);
    return resource && cancel({ resource, surroundings: this.#shared.surroundings }, reason, signal);
  }

  /**
   * Carry a conversation to its end, beginning it anew whenever the line is lost.
   *
   * @param {(signal: AbortSignal) => Promise<UploadView | null>} converse
   */
  async #persevere(converse) {
    this.#task = new AbortController();
    const { signal } = this.#task;
    try {
      const view = await this.#retry(converse, signal);
      this.#unless(signal, () => this.#settle(view));
    } catch (error) {
      this.#unless(signal, () => this.#give_up(error));
    }
  }

  /**
   * @param {(signal: AbortSignal) => Promise<UploadView | null>} converse
   * @param {AbortSignal} signal
   */
  async #retry(converse, signal) {
    const { surroundings } = this.#shared;
    for (;;) {
      try {
        return await converse(signal);
      } catch (/** @type {any} */ failure) {
        const next = verdict(failure);
        // A file that is there needs nobody's leave any more; the page only asks how it goes on.
        const is_refused = next === "refused" && !(this.phase === "uploading" && this.is_complete);
        if (signal.aborted || next === "fatal" || is_refused) throw failure;
        this.#disconnect();
        this.trouble = failure;
        this.#tell("progress");
        // What the server asks for is kept; what we wait on top of it may be cut short.
        const retry_after_s = failure.retry_after_s * (1 + surroundings.random() / 4);
        const more_s = this.#backoff.next() - retry_after_s;
        if (retry_after_s > 0) await wait(surroundings, retry_after_s, signal);
        if (more_s > 0) await wait_or_wake(surroundings, more_s, signal);
      }
    }
  }

  /** Stop whatever is under way, without a word to the page. */
  #call_off() {
    this.#task.abort();
    this.is_queued = false;
    this.tally.drop_flights();
  }

  #disconnect() {
    this.connected = false;
    this.tally.drop_flights();
  }

  /**
   * @param {AbortSignal} signal
   * @param {() => void} action
   */
  #unless(signal, action) {
    if (!signal.aborted) action();
  }

  // what is heard on a connection

  /**
   * @param {Tally} tally
   * @param {UploadView} view
   */
  #on_connected(tally, view) {
    // A line that never carries a whole chunk still brings the file nearer to its end.
    this.#backoff.reached(tally.bytes_acked);
    this.connected = this.is_announced = true;
    this.trouble = null;
    this.tally = tally;
    this.speed.reset();
    if (is_receiving(view) && !this.is_complete) this.#destination.note();
    this.#on_change();
  }

  #on_change() {
    this.speed.note(this.#shared.surroundings.now_s(), this.tally.bytes_acked);
    this.#tell("progress");
  }

  #on_landed() {
    this.#refusals = 0;
    this.trouble = null;
    this.#on_change();
  }

  /** @param {UploadFailure} failure one or two are nothing to speak of: a proxy's limit, say */
  #on_refusal(failure) {
    this.#refusals += 1;
    if (this.#refusals > 2) this.trouble = failure;
    this.#on_change();
  }

  /** @param {UploadView} view */
  #on_handover({ state, reason }) {
    // From here on the server brings it to its end, with or without this page.
    this.#destination.forget();
    const is_waiting = reason !== null && (state === "COMPLETE" || state === "HANDING_OVER");
    const message = is_waiting ? reason : null;
    if (message === (this.trouble?.message ?? null)) return;
    this.trouble = message === null ? null : { code: "app_waits", message };
    this.#tell("progress");
  }

  // ends

  /** @param {UploadView | null} view what a conversation came to */
  #settle(view) {
    if (view === null) return this.#end_cancelled(null);
    if (this.phase === "cancelling" && view.state !== "CANCELLED") {
      // A cancel that came too late: the file is there already, so see it through.
      this.cancel_msg = null;
      this.is_announced = true;
      this.tally = new Tally(this.assignment.file.size, view.received);
    }
    switch (view.state) {
      case "FINISHED":
        this.#over("finished");
        this.#tell("progress");
        this.#tell("finished");
        this.connected = false;
        return this.#tell("progress");
      case "CANCELLED":
        return this.#end_cancelled(view.reason);
      case "FAILED":
        return this.#fail(new HandoverFailure(view.reason));
      default:
        return this.upload();
    }
  }

  /** @param {any} error */
  #give_up(error) {
    if (verdict(error) === "refused") return this.#pause(error);
    // The server has forgotten it: nothing is left to cancel.
    if (this.phase === "cancelling" && error.code === "unknown_upload") return this.#end_cancelled(null);
    if (error instanceof UploadFailure) return this.#fail(error);
    this.#shared.surroundings.report(error);
    this.#fail(new UploadFailure("internal_error", error.message));
  }

  /** @param {string | null} reason of the server, for a cancel that the page did not ask for */
  #end_cancelled(reason) {
    this.cancel_msg ??= reason ?? "Cancelled by the server";
    this.failure = new Cancelled(this.cancel_msg);
    this.#over("cancelled");
    this.#disconnect();
    this.#tell("progress");
    this.#tell("cancelled");
  }

  /** @param {UploadFailure} failure */
  #fail(failure) {
    this.failure = failure;
    // With the right file, or when the stick is plugged in again, it may still go on.
    if (is_end(failure)) this.#destination.forget();
    this.phase = "failed";
    this.#disconnect();
    this.trouble = null;
    this.#tell("progress");
    this.#tell("error");
  }

  /** @param {Phase} phase in which nothing is left to do */
  #over(phase) {
    this.phase = phase;
    this.trouble = null;
    this.#destination.forget();
  }
}
