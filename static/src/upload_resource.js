/**
 * The upload resource of the server, `<base>uploads/{id}`, in its native dialect.
 *
 * Four calls, in the order of an upload's life; each is harmless when repeated, for browsers repeat
 * requests by themselves. Each resolves with the server's view of the upload or rejects with
 * RequestFailure or Aborted. When to call, and what to do next, is decided elsewhere.
 */

import { RequestFailure, read_refusal } from "./errors.js";

/** @typedef {import("./ranges.js").Range} Range */
/** @typedef {import("./transport.js").Answer} Answer */
/** @typedef {import("./transport.js").Transport} Transport */

/**
 * @typedef {"CREATED" | "UPLOADING" | "COMPLETE" | "HANDING_OVER" | "AWAITING_CONFIRMATION"
 *   | "FINISHED" | "CANCELLED" | "FAILED"} State
 */

/**
 * @typedef {object} UploadView
 * @property {State} state
 * @property {number | null} length null while no file was announced
 * @property {string} file_tag stands for the announced file
 * @property {Range[]} received a set of ranges, see ranges.js
 * @property {number} chunk_bytes the server's suggestion
 * @property {number} max_chunk_bytes
 * @property {number} send_ahead how many chunks may be under way at once
 * @property {string | null} reason why it was cancelled or failed
 * @property {boolean} notified whether the web app has been told how it ended
 * @property {string | null} [expires_at] when it is given up if nothing moves until then (ISO 8601)
 * @property {StoredDigest[]} [digests] of chunks, in the answer to `ask_digests` alone
 */

/** @typedef {{ start: number, stop: number, sha256: string }} StoredDigest hexadecimal */

/** @type {readonly State[]} States in which bytes may still be missing. */
const RECEIVING = ["CREATED", "UPLOADING"];

/** @type {readonly State[]} States that nothing follows. */
const FINAL = ["FINISHED", "CANCELLED", "FAILED"];

/** @param {UploadView} view */
export const is_receiving = (view) => RECEIVING.includes(view.state);

/** @param {UploadView} view */
export const is_final = (view) => FINAL.includes(view.state);

// A reason travels in the URL, and servers limit its length; this many characters fit in 8 KB
// even when each takes 12 when quoted.
const MAX_REASON_CHARACTERS = 500;

/** @param {string} hex */
const to_base64 = (hex) => btoa(hex.replace(/../g, (byte) => String.fromCharCode(parseInt(byte, 16))));

export class UploadResource {
  #transport;
  /** @type {string | null} of the file that was announced here */
  #file_tag = null;

  /**
   * @param {Transport} transport
   * @param {string} frontend_url ends with a slash
   * @param {string} upload_id
   */
  constructor(transport, frontend_url, upload_id) {
    this.#transport = transport;
    this.upload_id = upload_id;
    this.url = `${frontend_url}uploads/${encodeURIComponent(upload_id)}`;
  }

  /**
   * Say which file is coming. If bytes are stored already, the server compares: another file is
   * refused with `file_changed`.
   *
   * @param {File} file
   * @param {string | null} relative_path
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async announce(file, relative_path, signal) {
    const json = {
      filename: file.name,
      length: file.size,
      type: file.type,
      last_modified: file.lastModified,
      ...(relative_path === null ? {} : { relative_path }),
    };
    const view = read_view(await this.#transport.call({ method: "POST", url: this.url, json, signal }));
    this.#file_tag = view.file_tag;
    return view;
  }

  /**
   * With the tag of the announced file: should another page have announced another one since, its
   * bytes and these are not mixed.
   *
   * @param {import("./chunk.js").Chunk} chunk
   * @param {(bytes: number) => void} on_sent
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async store({ range: [start, stop], length, body, sha256 }, on_sent, signal) {
    /** @type {Record<string, string>} */
    const headers = {
      "Content-Type": "application/octet-stream",
      "Content-Range": `bytes ${start}-${stop - 1}/${length}`,
      "If-Match": `"${this.#file_tag}"`,
    };
    if (sha256 !== null) headers["Content-Digest"] = `sha-256=:${to_base64(sha256)}:`;
    return read_view(await this.#transport.put({ url: this.url, headers, body, on_sent, signal }));
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async ask(signal) {
    return read_view(await this.#transport.call({ method: "GET", url: this.url, signal }));
  }

  /**
   * Ask for the digests of stored chunks too: of all, or of many chunks a thousand.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async ask_digests(signal) {
    return read_view(await this.#transport.call({ method: "GET", url: `${this.url}?digests=1`, signal }));
  }

  /**
   * @param {string} reason
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async cancel(reason, signal) {
    const query = new URLSearchParams({ reason: reason.slice(0, MAX_REASON_CHARACTERS) });
    return read_view(await this.#transport.call({ method: "DELETE", url: `${this.url}?${query}`, signal }));
  }
}

/**
 * @param {Answer} answer
 * @returns {UploadView}
 */
function read_view(answer) {
  const { status, body } = answer;
  if (status < 200 || status > 299) throw read_refusal(answer);
  if (typeof body?.state !== "string" || !Array.isArray(body.received) || !(body.chunk_bytes > 0)) {
    // The login page of a hotel, say: 200, and not a word from our server.
    throw new RequestFailure({ status, code: "bad_answer", message: "Somebody else answered in the server's place" });
  }
  return body;
}
