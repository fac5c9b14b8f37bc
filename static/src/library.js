/**
 * The library object that a page gets, as `incoming` or as the exports of the module.
 */

import { find_frontend_url } from "./server_url.js";
import { Slots } from "./slots.js";
import { browser } from "./surroundings.js";
import { create_transport } from "./transport.js";
import { create_uploader } from "./uploader.js";

// Of the 6 connections that a browser opens to a host, 2 are left for small calls and for the app.
const CHUNKS_AT_ONCE = 4;

/** @param {string | null} script_url where the library came from, null if unknown */
export function create_library(script_url) {
  const collaborators = {
    transport: create_transport(browser),
    slots: new Slots(CHUNKS_AT_ONCE),
    surroundings: browser,
  };
  /** @type {string | null} */
  let hostname = null;

  /**
   * Name the server, if it is not the one that the library came from. Call it before uploaders are
   * made; the page's own protocol is used.
   *
   * @param {string} host host[:port]
   */
  function set_server_hostname(host) {
    if (typeof host !== "string" || !/^[^/?#@\s]+$/.test(host)) {
      throw new TypeError(`set_server_hostname() takes host[:port], not ${host}`);
    }
    hostname = host;
  }

  /**
   * One file on its way to the server. Nothing is sent before `start()`. Works with and without
   * `new`.
   *
   * @param {string} upload_id the ticket that the app's backend asked for
   * @param {File} file
   */
  function Uploader(upload_id, file) {
    const frontend_url = find_frontend_url({ script_url, page_url: browser.page_url(), hostname });
    return create_uploader(collaborators, frontend_url, upload_id, file);
  }

  return { set_server_hostname, Uploader };
}
