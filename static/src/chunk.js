/**
 * Chunks of a file, read from the disk as late as possible, and whether they still are what they were.
 *
 * Chromium refuses to read a file that was changed, moved or deleted. Firefox reads what is there now:
 * too little of a file that was cut short, other bytes of one that was overwritten. There lengths and
 * digests tell.
 *
 * The bytes are read twice: for the digest, and by the browser when it sends them. To send what was
 * read for the digest is no faster: the copies from process to process take as much time as reading
 * again does (Chromium 150), and each chunk under way would be in the page's memory.
 */

import { FileUnreadable } from "./errors.js";

/** @typedef {import("./digester.js").Digester} Digester */
/** @typedef {import("./ranges.js").Range} Range */
/** @typedef {import("./upload_resource.js").StoredDigest} StoredDigest */

/**
 * @typedef {object} Chunk
 * @property {Range} range not empty
 * @property {number} length of the whole file
 * @property {Blob} body a reference: the bytes are read again when it is sent
 * @property {string | null} sha256 hexadecimal, null where the browser has none
 */

/**
 * @param {Digester} digester
 * @param {File} file
 * @param {Range} range
 * @returns {Promise<Chunk>} rejects with FileUnreadable
 */
export async function read_chunk(digester, file, range) {
  const body = file.slice(...range);
  return { range, length: file.size, body, sha256: await digester.digest(body) };
}

/**
 * Make sure that a chunk is still what it was. Throws FileUnreadable.
 *
 * @param {Digester} digester
 * @param {Chunk} chunk
 */
export async function check_unchanged(digester, { body, sha256 }) {
  const now = await digester.digest(body);
  if (now === null) await digester.probe(body);
  else if (sha256 !== null && now !== sha256) throw new FileUnreadable();
}

/**
 * Whether some chunks of the file are what they were: the first and the last and two between them.
 * Throws FileUnreadable.
 *
 * @param {Digester} digester
 * @param {() => number} random a number in [0, 1)
 * @param {File} file
 * @param {readonly StoredDigest[]} known
 */
export async function is_same_file(digester, random, file, known) {
  const chunks = [...known].sort((a, b) => a.start - b.start);
  const samples = [...chunks.splice(0, 1), ...chunks.splice(-1, 1)];
  for (let i = 0; i < 2; i++) samples.push(...chunks.splice(Math.floor(random() * chunks.length), 1));
  for (const { start, stop, sha256 } of samples) {
    const own = await digester.digest(file.slice(start, stop));
    if (own !== null && own !== sha256) return false;
  }
  return true;
}

// Enough to choose from, however many chunks a file has.
const KEPT = 64;

/**
 * Keep a chunk's digest, if it has one, and let go of another if there are many; never of the first.
 *
 * @param {StoredDigest[]} digests
 * @param {Chunk} chunk
 * @param {() => number} random a number in [0, 1)
 */
export function keep_digest(digests, { range: [start, stop], sha256 }, random) {
  if (sha256 !== null) digests.push({ start, stop, sha256 });
  if (digests.length > KEPT) digests.splice(1 + Math.floor(random() * (KEPT - 1)), 1);
}
