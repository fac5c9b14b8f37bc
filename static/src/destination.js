/**
 * Where one upload goes: its ticket, got when it is needed, its resource on the server, and the note
 * by which a later page finds the way back.
 */

import { Aborted } from "./errors.js";
import { get_ticket } from "./tickets.js";
import { UploadResource } from "./upload_resource.js";
import { unless_aborted } from "./waiting.js";

/** @typedef {import("./course.js").Assignment} Assignment */
/** @typedef {import("./course.js").Collaborators} Collaborators */

export class Destination {
  /** @type {UploadResource | null} */
  resource = null;
  #shared;
  #assignment;
  /** @type {Promise<string> | null} */
  #asked_ticket = null;
  #is_noted = false;
  #is_forgotten = false;

  /**
   * @param {Collaborators} shared
   * @param {Assignment} assignment
   */
  constructor(shared, assignment) {
    this.#shared = shared;
    this.#assignment = assignment;
    if (typeof assignment.ticket === "string") this.#use(assignment.ticket);
  }

  /**
   * The resource, for which a ticket is asked for if there is none.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<UploadResource>} rejects with UploadFailure, Aborted
   */
  async load_resource(signal) {
    if (signal.aborted) throw new Aborted();
    if (this.resource !== null) return this.resource;
    const { ticket, file, relative_path } = this.#assignment;
    // Asked once: a pause meanwhile must not use up another ticket.
    this.#asked_ticket ??= get_ticket(ticket, file, relative_path);
    try {
      return this.#use(await unless_aborted(this.#asked_ticket, signal));
    } catch (error) {
      if (!(error instanceof Aborted)) this.#asked_ticket = null;
      throw error;
    }
  }

  /**
   * The resource if there is one, or will be: a ticket that is on its way is waited for.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<UploadResource | null>} rejects with Aborted
   */
  async find_resource(signal) {
    if (this.resource !== null || this.#asked_ticket === null) return this.resource;
    try {
      return this.#use(await unless_aborted(this.#asked_ticket, signal));
    } catch (error) {
      if (error instanceof Aborted) throw error;
      return null;
    }
  }

  /** Note in the browser that this has been begun. */
  note() {
    const { file, frontend_url, relative_path, file_handle, remember } = this.#assignment;
    if (this.resource === null || this.#is_noted || !remember) return;
    this.#is_noted = true;
    const { url, upload_id } = this.resource;
    const { name: filename, size: length, lastModified: last_modified } = file;
    const begun_at = Date.now();
    const { notebook } = this.#shared;
    const has_handle = file_handle !== null;
    notebook.write({ url, frontend_url, upload_id, filename, relative_path, length, last_modified, begun_at, has_handle });
    if (file_handle !== null) notebook.keep_handle(url, file_handle);
  }

  /** Nothing is left for a later page to do. */
  forget() {
    if (this.resource === null || this.#is_forgotten) return;
    this.#is_forgotten = true;
    this.#shared.notebook.tear_out(this.resource.url);
  }

  /** @param {string} ticket */
  #use(ticket) {
    return (this.resource ??= new UploadResource(this.#shared.transport, this.#assignment.frontend_url, ticket));
  }
}
