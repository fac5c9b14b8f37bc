/**
 * SHA-256 of parts of files, through one buffer.
 *
 * Reading a part into memory of its own each time is easier, and then a file of gigabytes leaves
 * gigabytes to the collector, which is in no hurry. So the bytes are read into the same buffer again
 * and again, and digests are worked out one after the other: faster than any line all the same. One of
 * 8 MiB keeps Chromium's page from all else for some milliseconds: it works it out on the spot.
 */

import { FileUnreadable, RequestFailure, UploadFailure } from "./errors.js";
import { within } from "./waiting.js";

/** @typedef {import("./surroundings.js").Surroundings} Surroundings */

const PATIENCE_S = 30;

/** @returns {never} */
function give_up() {
  throw new RequestFailure({ status: 0, code: "stalled", message: "The file cannot be read at the moment" });
}

export class Digester {
  #surroundings;
  #buffer = new ArrayBuffer(0);
  /** @type {Promise<unknown>} what is to be worked out before */
  #queue = Promise.resolve();

  /** @param {Surroundings} surroundings */
  constructor(surroundings) {
    this.#surroundings = surroundings;
  }

  /** Whether the browser can do it: for that a page must have come by https or from localhost. */
  get is_there() {
    return this.#surroundings.find_sha256() !== null;
  }

  /**
   * @param {Blob} blob
   * @returns {Promise<string | null>} hexadecimal, null where the browser cannot; rejects with
   *   FileUnreadable, or RequestFailure if the disk does not answer
   */
  async digest(blob) {
    const sha256 = this.#surroundings.find_sha256();
    if (sha256 === null) return null;
    // A disk that does not answer, a share without a line, must not keep all others waiting.
    const turn = this.#queue.then(() => within(this.#surroundings, PATIENCE_S, this.#work_out(sha256, blob), give_up));
    this.#queue = turn.catch(() => {});
    try {
      return await turn;
    } catch (error) {
      if (error instanceof UploadFailure) throw error;
      return null; // no memory, say: then it goes without
    }
  }

  /**
   * @param {(bytes: Uint8Array<ArrayBuffer>) => Promise<ArrayBuffer>} sha256
   * @param {Blob} blob
   */
  async #work_out(sha256, blob) {
    return to_hex(await sha256(await this.#read(blob)));
  }

  /**
   * Only see whether a part of a file can still be read. Rejects with FileUnreadable.
   *
   * @param {Blob} blob not empty
   */
  async probe(blob) {
    await read_whole(blob.slice(blob.size - 1));
  }

  /** @param {Blob} blob */
  async #read(blob) {
    const reader = open(blob);
    if (reader === null) return new Uint8Array(await read_whole(blob));
    if (this.#buffer.byteLength < blob.size) this.#buffer = new ArrayBuffer(blob.size);
    let position = 0;
    try {
      while (position < blob.size) {
        const rest = new Uint8Array(this.#buffer, position, blob.size - position);
        const { value, done } = await reader.read(rest, { min: rest.byteLength });
        if (done) break;
        this.#buffer = /** @type {ArrayBuffer} */ (value.buffer);
        position += value.byteLength;
      }
    } catch {
      position = -1;
    }
    reader.cancel().catch(() => {});
    if (position !== blob.size) {
      this.#buffer = new ArrayBuffer(0); // the last one may be the reader's for ever
      throw new FileUnreadable();
    }
    return new Uint8Array(this.#buffer, 0, position);
  }
}

/**
 * @param {Blob} blob
 * @returns {ReadableStreamBYOBReader | null} null in browsers that cannot read into a given buffer
 */
function open(blob) {
  try {
    return blob.stream().getReader({ mode: "byob" });
  } catch {
    return null;
  }
}

/**
 * @param {Blob} blob
 * @returns {Promise<ArrayBuffer>}
 */
async function read_whole(blob) {
  const bytes = await blob.arrayBuffer().catch(() => null);
  if (bytes?.byteLength !== blob.size) throw new FileUnreadable();
  return bytes;
}

/** @param {ArrayBuffer} bytes */
const to_hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
