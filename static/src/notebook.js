/**
 * What this browser has begun and not brought to its end, in local storage.
 *
 * A hint and no more: what has become of an upload the server alone knows. Storage may be forbidden,
 * full, or emptied at any moment; then there is nothing to be found, and all else works.
 *
 * Handles on files cannot be kept there; they are in a database beside it, under the same names.
 */

import { within } from "./waiting.js";

/** @typedef {import("./surroundings.js").Surroundings} Surroundings */

/**
 * @typedef {object} Note
 * @property {string} url of the upload resource
 * @property {string} frontend_url
 * @property {string} upload_id
 * @property {string} filename
 * @property {string | null} relative_path
 * @property {number} length
 * @property {number} last_modified
 * @property {number} begun_at milliseconds since 1970
 * @property {boolean} has_handle whether a handle on the file is kept
 */

const PREFIX = "incoming_wsgi ";
const DATABASE = "incoming_wsgi";
const TABLE = "file_handles";
// Some browsers have opened databases that never answered.
const PATIENCE_S = 2;

export class Notebook {
  #surroundings;

  /** @param {Surroundings} surroundings */
  constructor(surroundings) {
    this.#surroundings = surroundings;
  }

  /** @param {Note} note */
  write(note) {
    this.#storage((storage) => storage.setItem(PREFIX + note.url, JSON.stringify(note)));
  }

  /** @param {string} url */
  tear_out(url) {
    if (this.read().some((note) => note.url === url && note.has_handle)) {
      this.#handles("readwrite", (table) => table.delete(url));
    }
    this.#storage((storage) => storage.removeItem(PREFIX + url));
  }

  /** @returns {Note[]} newest first */
  read() {
    /** @type {Note[]} */
    const notes = [];
    this.#storage((storage) => {
      for (const key of Object.keys(storage).filter((name) => name.startsWith(PREFIX))) {
        try {
          const note = JSON.parse(storage.getItem(key) ?? "");
          if (PREFIX + note.url === key) notes.push(note);
        } catch {} // somebody else's
      }
    });
    return notes.sort((a, b) => b.begun_at - a.begun_at);
  }

  /**
   * @param {string} url
   * @param {FileSystemFileHandle} handle
   */
  keep_handle(url, handle) {
    return this.#handles("readwrite", (table) => table.put(handle, url));
  }

  /**
   * @param {Note} note
   * @returns {Promise<any>} the handle, null if there is none or the database does not answer
   */
  async find_handle({ url, has_handle }) {
    if (!has_handle) return null;
    const handle = this.#handles("readonly", (table) => table.get(url));
    return within(this.#surroundings, PATIENCE_S, handle, () => null);
  }

  /** @param {(storage: Storage) => void} action */
  #storage(action) {
    try {
      const storage = this.#surroundings.storage();
      if (storage !== null) action(storage);
    } catch {} // full, or gone
  }

  /**
   * @param {IDBTransactionMode} mode
   * @param {(table: IDBObjectStore) => IDBRequest} action
   */
  async #handles(mode, action) {
    try {
      const database = await this.#open();
      try {
        return (await result(action(database.transaction(TABLE, mode).objectStore(TABLE)))) ?? null;
      } finally {
        database.close();
      }
    } catch {
      return null;
    }
  }

  /** @returns {Promise<IDBDatabase>} */
  #open() {
    const request = /** @type {IDBFactory} */ (this.#surroundings.databases()).open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
    return result(request);
  }
}

/**
 * @param {IDBRequest} request
 * @returns {Promise<any>}
 */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
