/**
 * Chunks of a file, read from the disk as late as possible, and their digests.
 *
 * A browser says the same of a file that was changed, moved, deleted or unplugged: it cannot be read.
 * Some browsers do not notice a change at all; there the digests tell.
 */

import { FileUnreadable, WrongFile } from "./errors.js";

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
export async function check_unchanged(surroundings, chunk) {
  const now = await digest(surroundings, chunk.body);
  if (now === null) await read(chunk.body.slice(0, 1));
  else if (chunk.digest !== null && to_hex(now) !== to_hex(chunk.digest)) throw new FileUnreadable();
}

/**
 * Compare the file with what the server has: the first and the last chunk and two between them.
 * Throws WrongFile, FileUnreadable.
 *
 * @param {Surroundings} surroundings
 * @param {File} file
 * @param {readonly StoredDigest[]} stored
 */
export async function check_same_file(surroundings, file, stored) {
  const chunks = [...stored].sort((a, b) => a.start - b.start);
  const samples = [...chunks.splice(0, 1), ...chunks.splice(-1, 1)];
  for (let i = 0; i < 2; i++) samples.push(...chunks.splice(Math.floor(surroundings.random() * chunks.length), 1));
  for (const { start, stop, sha256 } of samples) {
    const own = await digest(surroundings, file.slice(start, stop));
    if (own !== null && to_hex(own) !== sha256) throw new WrongFile();
  }
}

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
  try {
    return await blob.arrayBuffer();
  } catch {
    throw new FileUnreadable();
  }
}

/** @param {ArrayBuffer} bytes */
const to_hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
