/**
 * The uploader: what a page sees of one upload.
 *
 * Every property of the contract is worked out from the course of the upload, so that all are
 * consistent in every callback. A page may use the callbacks, the events or the promise; they say
 * the same.
 *
 * Exactly one of finished, cancelled and error is told in an uploader's life, once.
 */

import { Course } from "./course.js";

/** @typedef {import("./course.js").Assignment} Assignment */
/** @typedef {import("./course.js").Collaborators} Collaborators */
/** @typedef {import("../incoming.js").Callback | null} Callback */
/** @typedef {import("../incoming.js").Uploader} PublicUploader what is written down of this class */

export class Uploader extends EventTarget {
  #course;
  #file;
  #report;
  #resolve = (/** @type {PublicUploader} */ _) => {};
  #reject = (/** @type {Error | null} */ _) => {};

  /** @type {Callback} */
  onprogress = null;
  /** @type {Callback} */
  onfinished = null;
  /** @type {Callback} */
  oncancelled = null;
  /** @type {Callback} */
  onerror = null;

  /** @type {Promise<PublicUploader>} */
  done = new Promise((resolve, reject) => {
    this.#resolve = resolve;
    this.#reject = reject;
  });

  /**
   * @param {Collaborators} shared
   * @param {Assignment} assignment
   */
  constructor(shared, assignment) {
    super();
    this.#file = assignment.file;
    this.#report = shared.surroundings.report;
    this.#course = new Course(shared, assignment, (what) => this.#tell(what));
    this.done.catch(() => {}); // who does not ask for it need not catch it
  }

  get upload_id() {
    return this.#course.upload_id;
  }
  get filename() {
    return this.#file.name;
  }
  get relative_path() {
    return this.#course.assignment.relative_path;
  }

  get bytes_total() {
    return this.#file.size;
  }
  get bytes_tx() {
    return this.#course.tally.bytes_tx;
  }
  get bytes_acked() {
    return this.#course.tally.bytes_acked;
  }
  get bytes_ahead() {
    return this.bytes_tx - this.bytes_acked;
  }
  get frac_complete() {
    return this.bytes_total === 0 ? 1 : this.bytes_acked / this.bytes_total;
  }
  get chunks_tx_now() {
    return this.#course.tally.chunks_tx;
  }
  get chunks_acked_now() {
    return this.#course.tally.chunks_acked;
  }
  get chunks_ahead() {
    return this.chunks_tx_now - this.chunks_acked_now;
  }
  get bytes_per_s() {
    return this.#course.bytes_per_s;
  }
  get seconds_left() {
    const speed = this.bytes_per_s;
    return speed === null || speed === 0 ? null : (this.bytes_total - this.bytes_acked) / speed;
  }

  get phase() {
    const { phase, is_queued, is_complete, connected } = this.#course;
    if (phase !== "uploading") return phase;
    if (is_complete) return "handing_over";
    return is_queued ? "queued" : connected ? "uploading" : "connecting";
  }
  get connected() {
    return this.#course.connected;
  }
  get finished() {
    return this.phase === "finished";
  }
  get paused() {
    return this.phase === "paused";
  }
  get can_pause() {
    const { phase, is_all_sent } = this.#course;
    return phase === "paused" || (phase === "uploading" && !is_all_sent);
  }
  get cancelling() {
    return this.phase === "cancelling";
  }
  get cancelled() {
    // An upload that failed will not come about either; pages unlock their file chooser by this.
    return this.phase === "cancelled" || this.phase === "failed";
  }
  get can_cancel() {
    return this.phase === "new" || this.can_pause;
  }
  get handing_over() {
    return this.phase === "handing_over";
  }

  get state_msg() {
    const { trouble, connected } = this.#course;
    switch (this.phase) {
      case "new":
        return "Not started";
      case "queued":
        return "Waiting for its turn";
      case "connecting":
        return trouble === null ? "Connecting" : `Trying again: ${trouble.message}`;
      case "uploading":
        return "Uploading";
      case "handing_over":
        if (!connected && trouble !== null) return `Trying again: ${trouble.message}`;
        return trouble === null ? "Waiting for the application" : `Waiting for the application: ${trouble.message}`;
      case "paused":
        return trouble === null ? "Paused" : `Paused: ${trouble.message}`;
      case "cancelling":
        return trouble === null ? "Cancelling" : `Cancelling: ${trouble.message}`;
      case "finished":
        return "Finished";
      case "cancelled":
        return "Cancelled";
      case "failed":
        return "Failed";
    }
  }
  get cancel_msg() {
    return this.#course.cancel_msg;
  }
  get error_code() {
    return this.phase === "failed" ? (this.#course.failure?.code ?? null) : null;
  }
  get error_msg() {
    return this.phase === "failed" ? (this.#course.failure?.message ?? null) : null;
  }
  get trouble_code() {
    return this.#course.trouble?.code ?? null;
  }
  get trouble_msg() {
    return this.#course.trouble?.message ?? null;
  }

  /** Begin. A second call does nothing. */
  start() {
    if (this.phase === "new") this.#course.upload();
    return this;
  }

  /**
   * Stop sending, or go on. Does nothing while `can_pause` is false.
   *
   * @param {"pause" | "unpause" | "toggle"} what
   */
  pause(what) {
    if (!["pause", "unpause", "toggle"].includes(what)) {
      throw new TypeError(`pause() takes "pause", "unpause" or "toggle", not ${what}`);
    }
    if (this.paused) {
      if (what !== "pause") this.#course.upload();
    } else if (this.can_pause && what !== "unpause") {
      this.#course.pause();
    }
    return this;
  }

  /**
   * End the upload without delivery, as long as the handover has not begun. After the last byte
   * was sent, when `can_cancel` is false, it is tried all the same, and may come too late.
   *
   * @param {string} [reason] for the app
   */
  cancel(reason) {
    if (["new", "uploading", "paused"].includes(this.#course.phase)) this.#course.cancel(reason);
    return this;
  }

  /**
   * Tell the page. Its mistakes are its own and must not stop the upload.
   *
   * @param {"progress" | "finished" | "cancelled" | "error"} what
   */
  #tell(what) {
    if (what === "finished") this.#resolve(this);
    if (what === "cancelled" || what === "error") this.#reject(this.#course.failure);
    try {
      this[`on${what}`]?.(this);
    } catch (error) {
      this.#report(error);
    }
    this.dispatchEvent(new Event(what));
  }
}
