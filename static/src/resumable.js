/**
 * What this browser has begun and the server has not yet completely.
 *
 * The notebook says what to ask for; the server says how it stands. What it has forgotten, or has
 * completely, is torn out of the notebook.
 */

import { FileUnreadable, UploadFailure, WrongFile } from "./errors.js";
import { count_bytes } from "./ranges.js";
import { UploadResource, is_receiving } from "./upload_resource.js";

/** @typedef {import("./course.js").Collaborators} Collaborators */
/** @typedef {import("./notebook.js").Note} Note */
/** @typedef {import("./upload_resource.js").UploadView} UploadView */
/** @typedef {import("./uploader.js").Uploader} Uploader */

/** @typedef {(note: Note, file: File, file_handle: any) => Uploader} MakeUploader */

// Answers that say that there is nothing left to go on with.
const GONE = ["unknown_upload", "upload_gone"];

/**
 * @param {Collaborators} shared
 * @param {MakeUploader} make_uploader
 * @returns {Promise<ResumableUpload[]>} newest first
 */
export async function find_resumable(shared, make_uploader) {
  const { notebook, surroundings } = shared;
  const claims = await surroundings.find_claims();
  const found = await Promise.all(
    notebook.read().map(async (note) => {
      if (shared.running.has(note.url)) return null; // on this very page
      const view = await ask(shared, note);
      if (view !== null && (view === "gone" || !is_receiving(view))) {
        notebook.tear_out(note.url);
        return null;
      }
      const handle = await notebook.find_handle(note);
      return new ResumableUpload(shared, make_uploader, note, view, handle, claims.has(note.url));
    }),
  );
  return found.filter((upload) => upload !== null);
}

/**
 * @param {Collaborators} shared
 * @param {Note} note
 * @returns {Promise<UploadView | "gone" | null>} null if the server cannot be asked
 */
async function ask({ transport }, { frontend_url, upload_id }) {
  try {
    return await new UploadResource(transport, frontend_url, upload_id).ask(new AbortController().signal);
  } catch (/** @type {any} */ failure) {
    return GONE.includes(failure.code) ? "gone" : null;
  }
}

export class ResumableUpload {
  #shared;
  #make_uploader;
  #note;
  #handle;

  /**
   * @param {Collaborators} shared
   * @param {MakeUploader} make_uploader
   * @param {Note} note
   * @param {UploadView | null} view
   * @param {any} handle
   * @param {boolean} in_another_tab
   */
  constructor(shared, make_uploader, note, view, handle, in_another_tab) {
    this.#shared = shared;
    this.#make_uploader = make_uploader;
    this.#note = note;
    this.#handle = handle;
    this.upload_id = note.upload_id;
    this.filename = note.filename;
    this.relative_path = note.relative_path;
    this.bytes_total = note.length;
    this.bytes_acked = view && count_bytes(view.received);
    this.expires_at = view?.expires_at ? new Date(view.expires_at) : null;
    this.in_another_tab = in_another_tab;
    this.has_file_handle = handle !== null;
  }

  /** @param {File} file */
  matches(file) {
    const { filename, length, last_modified } = this.#note;
    return file.name === filename && file.size === length && file.lastModified === last_modified;
  }

  /** @param {File} [file] */
  async resume(file) {
    const chosen = file ?? (await this.#read_handle());
    if (!this.matches(chosen)) throw new WrongFile();
    return this.#make_uploader(this.#note, chosen, this.#handle);
  }

  async #read_handle() {
    const may = { mode: "read" };
    try {
      const is_allowed = (await this.#handle.queryPermission?.(may)) ?? "granted";
      if (is_allowed !== "granted" && (await this.#handle.requestPermission(may)) !== "granted") throw new Error();
      return await this.#handle.getFile();
    } catch {
      throw new FileUnreadable();
    }
  }

  /** @param {string} [reason] */
  async discard(reason = "Discarded by the user") {
    const { frontend_url, upload_id, url } = this.#note;
    const resource = new UploadResource(this.#shared.transport, frontend_url, upload_id);
    try {
      await resource.cancel(reason, new AbortController().signal);
    } catch (failure) {
      if (!(failure instanceof UploadFailure && GONE.includes(failure.code))) throw failure;
    }
    this.#shared.notebook.tear_out(url);
  }
}
