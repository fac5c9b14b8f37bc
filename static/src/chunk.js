/**
 * Chunks of a file, read from the disk as late as possible, and their digests.
 *
 * Chromium refuses to read a file that was changed, moved or deleted. Firefox reads what is there now:
 * too little of a file that was cut short, other bytes of one that was overwritten. There lengths and
 * digests tell.
 */

import { FileUnreadable } from "./errors.js";

/** @typedef {import("./ranges.js").Range} Range */
/** @typedef {import("./surroundings.js").Surroundings} Surroundings */
/** @typedef {import("./upload_resource.js").StoredDigest} StoredDigest */

/**
 * @typedef {object} Chunk
 * @property {Range} range not empty
 * @property {number} length of the whole file
 * @property {Blob} body a reference: the bytes are read again when it is sent
 * @property {ArrayBuffer | null} digest SHA-256, null where the browser has none
 */

/**
 * @param {Surroundings} surroundings
 * @param {File} file
 * @param {Range} range
 * @returns {Promise<Chunk>} rejects with FileUnreadable
 */
export async function read_chunk(surroundings, file, range) {
  const body = file.slice(...range);
  return { range, length: file.size, body, digest: await digest(surroundings, body) };
}

/**
 * Make sure that a chunk is still what it was. Throws FileUnreadable.
 *
 * @param {Surroundings} surroundings
 * @param {Chunk} chunk
 */
export async function check_unchanged(surroundings, { body, digest: before }) {
  const now = await digest(surroundings, body);
  if (now === null) await read(body.slice(body.size - 1));
  else if (before !== null && to_hex(now) !== to_hex(before)) throw new FileUnreadable();
}

/**
 * Whether some chunks of the file are what they were: the first and the last and two between them.
 * Throws FileUnreadable.
 *
 * @param {Surroundings} surroundings
 * @param {File} file
 * @param {readonly StoredDigest[]} known
 */
export async function is_same_file(surroundings, file, known) {
  const chunks = [...known].sort((a, b) => a.start - b.start);
  const samples = [...chunks.splice(0, 1), ...chunks.splice(-1, 1)];
  for (let i = 0; i < 2; i++) samples.push(...chunks.splice(Math.floor(surroundings.random() * chunks.length), 1));
  for (const { start, stop, sha256 } of samples) {
    const own = await digest(surroundings, file.slice(start, stop));
    if (own !== null && to_hex(own) !== sha256) return false;
  }
  return true;
}

/**
 * @param {Chunk} chunk
 * @returns {StoredDigest[]} none where the browser has none
 */
export const digest_of = ({ range: [start, stop], digest }) =>
  digest === null ? [] : [{ start, stop, sha256: to_hex(digest) }];

/**
 * @param {Surroundings} surroundings
 * @param {Blob} blob
 */
async function digest(surroundings, blob) {
  const sha256 = surroundings.find_sha256();
  return sha256 && sha256(await read(blob));
}

/** @param {Blob} blob */
async function read(blob) {
  const bytes = await blob.arrayBuffer().catch(() => null);
  if (bytes?.byteLength !== blob.size) throw new FileUnreadable();
  return bytes;
}

/** @param {ArrayBuffer} bytes */
const to_hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
