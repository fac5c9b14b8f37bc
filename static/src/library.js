/**
 * The library object that a page gets, as `incoming` or as the exports of the module.
 */

import { Digester } from "./digester.js";
import { Notebook } from "./notebook.js";
import { find_resumable } from "./resumable.js";
import { find_frontend_url } from "./server_url.js";
import { Slots } from "./slots.js";
import { browser } from "./surroundings.js";
import { tickets_from } from "./tickets.js";
import { create_transport } from "./transport.js";
import { Uploader } from "./uploader.js";

/** @typedef {import("./resumable.js").MakeUploader} MakeUploader */
/** @typedef {import("./tickets.js").Ticket} Ticket */

/** @typedef {{ relative_path?: string, file_handle?: FileSystemFileHandle }} UploaderOptions */

/**
 * @typedef {object} Configuration
 * @property {string | null} server_url where the server is mounted; null: found
 * @property {number} files_at_once
 * @property {number} chunks_at_once of the 6 connections that a browser opens to a host, 2 are left
 *   for small calls and for the app
 * @property {boolean} remember
 */

/** @param {unknown} value */
const is_count = (value) => Number.isInteger(value) && Number(value) >= 1;

/** @type {Map<string, (value: unknown) => boolean>} */
const POSSIBLE = new Map([
  ["server_url", (value) => value === null || (typeof value === "string" && value !== "")],
  ["files_at_once", is_count],
  ["chunks_at_once", is_count],
  ["remember", (value) => typeof value === "boolean"],
]);

/**
 * @param {string | null} script_url where the library came from, null if unknown
 * @returns {import("../incoming.js").Library}
 */
export function create_library(script_url) {
  /** @type {Configuration} */
  const configuration = { server_url: null, files_at_once: 3, chunks_at_once: 4, remember: true };
  /** @type {string | null} */
  let hostname = null;
  const shared = {
    transport: create_transport(browser),
    digester: new Digester(browser),
    file_slots: new Slots(configuration.files_at_once),
    chunk_slots: new Slots(configuration.chunks_at_once),
    notebook: new Notebook(browser),
    running: new Set(),
    surroundings: browser,
  };

  /** @param {Partial<Configuration>} changes */
  function configure(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (!POSSIBLE.get(name)?.(value)) throw new TypeError(`configure() takes no ${name}: ${JSON.stringify(value)}`);
    }
    Object.assign(configuration, changes);
    shared.file_slots.resize(configuration.files_at_once);
    shared.chunk_slots.resize(configuration.chunks_at_once);
  }

  /** @param {string} host host[:port] */
  function set_server_hostname(host) {
    if (typeof host !== "string" || !/^[^/?#@\s]+$/.test(host)) {
      throw new TypeError(`set_server_hostname() takes host[:port], not ${host}`);
    }
    hostname = host;
  }

  /**
   * @param {Ticket} ticket
   * @param {File} file
   * @param {UploaderOptions} [options]
   */
  function make_uploader(ticket, file, { relative_path, file_handle } = {}) {
    const is_file = typeof file?.name === "string" && typeof file.slice === "function";
    const is_ticket = typeof ticket === "function" || (typeof ticket === "string" && ticket !== "");
    if (!is_file || !is_ticket) {
      throw new TypeError("Uploader() takes a ticket and a File");
    }
    const { server_url } = configuration;
    return new Uploader(shared, {
      frontend_url: find_frontend_url({ script_url, page_url: browser.page_url(), hostname, server_url }),
      ticket,
      file,
      relative_path: (relative_path ?? file.webkitRelativePath) || null,
      file_handle: file_handle ?? null,
      remember: configuration.remember,
    });
  }
  // Made with and without `new`, and an instance of what it was made by.
  make_uploader.prototype = Uploader.prototype;

  /** @type {MakeUploader} */
  const resume = ({ frontend_url, upload_id, relative_path }, file, file_handle) =>
    new Uploader(shared, { frontend_url, ticket: upload_id, file, relative_path, file_handle, remember: configuration.remember });

  return {
    Uploader: /** @type {any} */ (make_uploader),
    configure,
    resumable: () => find_resumable(shared, resume),
    set_server_hostname,
    tickets_from: (/** @type {string} */ url) => tickets_from(shared.transport, url),
  };
}
