/**
 * The two conversations with the server: bring it the file, and cancel.
 *
 * Each goes from its first request to a view of the upload that settles it, on a line that holds.
 * Neither retries a lost line: every failure is thrown, and uploader.js begins the conversation
 * anew, which is safe at any point because the server's answers, not memory, say what is missing.
 *
 * Chunks are sent when others land, not by the clock: timers of background tabs are slow.
 */

import { FileUnreadable, RequestFailure, verdict } from "./errors.js";
import { covers } from "./ranges.js";
import { Tally } from "./tally.js";
import { is_final, is_receiving } from "./upload_resource.js";
import { fork, wait } from "./waiting.js";

/** @typedef {import("./backoff.js").Backoff} Backoff */
/** @typedef {import("./chunk_size.js").ChunkSize} ChunkSize */
/** @typedef {import("./slots.js").Slots} Slots */
/** @typedef {import("./surroundings.js").Surroundings} Surroundings */
/** @typedef {import("./upload_resource.js").UploadResource} UploadResource */
/** @typedef {import("./upload_resource.js").UploadView} UploadView */

/**
 * What a conversation works with.
 *
 * @typedef {object} Means
 * @property {File} file
 * @property {UploadResource} resource
 * @property {Slots} slots of the whole page
 * @property {ChunkSize} chunk_size
 * @property {Backoff} backoff
 * @property {Surroundings} surroundings
 */

/**
 * @typedef {object} Listener
 * @property {(tally: Tally) => void} on_connected the server has answered; these are the books from now on
 * @property {() => void} on_change a number in the books has changed
 */

// How long to wait between two questions to the server: short for apps that answer at once, longer
// for those that take minutes.
const FIRST_POLL_S = 0.2;
const LONGEST_POLL_S = 2;

// The app is told of a cancel before the page, but a page need not wait for an app that is down.
const TELL_APP_WITHIN_S = 60;

/**
 * Bring the file to the server and stay until the app has it.
 *
 * @param {Means} means
 * @param {Listener} listener
 * @param {AbortSignal} signal
 * @returns {Promise<UploadView>} in a final state
 */
export async function deliver(means, listener, signal) {
  const { file, resource, chunk_size, backoff, surroundings } = means;
  let view = await announce(means, signal);
  const tally = new Tally(file.size, view.received);
  chunk_size.suggest(view);
  listener.on_connected(tally);

  const polls = poll_intervals();
  while (!is_final(view)) {
    if (is_receiving(view) && tally.bytes_acked < tally.length) {
      try {
        await send_missing(means, tally, view.send_ahead, listener.on_change, signal);
      } catch (failure) {
        if (verdict(failure) !== "ask") throw failure;
        tally.drop_flights();
        listener.on_change();
        await wait(surroundings, backoff.next(), signal);
      }
    } else {
      await wait(surroundings, polls.next().value, signal);
    }
    view = await resource.ask(signal);
    tally.received = view.received;
    if (is_receiving(view)) listener.on_change();
    else backoff.reset();
  }
  return view;
}

/**
 * Cancel the upload and wait until the app knows.
 *
 * @param {Means} means
 * @param {string} reason
 * @param {AbortSignal} signal
 * @returns {Promise<UploadView>} of an upload that is cancelled, or for which it was too late
 */
export async function cancel({ resource, surroundings }, reason, signal) {
  let view = await or_ask(resource.cancel(reason, signal), resource, signal);
  const deadline_s = surroundings.now_s() + TELL_APP_WITHIN_S;
  const polls = poll_intervals();
  while (view.state === "CANCELLED" && !view.notified && surroundings.now_s() < deadline_s) {
    await wait(surroundings, polls.next().value, signal);
    view = await resource.ask(signal);
  }
  return view;
}

/**
 * @param {Means} means
 * @param {AbortSignal} signal
 */
async function announce({ file, resource }, signal) {
  const view = await or_ask(resource.announce(file, signal), resource, signal);
  if (view.state !== "CANCELLED" && view.length !== null && view.length !== file.size) {
    // The server compares only while it takes announcements; the end of another file must not be
    // taken for the end of this one.
    throw new RequestFailure({ status: 409, code: "file_changed", message: "The upload was begun with another file" });
  }
  return view;
}

/**
 * The answer to a request; or how things stand, if the upload is past the state for that request.
 *
 * @param {Promise<UploadView>} request
 * @param {UploadResource} resource
 * @param {AbortSignal} signal
 */
async function or_ask(request, resource, signal) {
  try {
    return await request;
  } catch (failure) {
    if (verdict(failure) !== "ask") throw failure;
    const view = await resource.ask(signal);
    if (is_receiving(view)) throw failure;
    return view;
  }
}

/**
 * Send what is missing, several chunks at a time, until nothing is.
 *
 * The first failure calls the other chunks off, and is thrown when all have stopped.
 *
 * @param {Means} means
 * @param {Tally} tally
 * @param {number} send_ahead
 * @param {() => void} on_change
 * @param {AbortSignal} signal
 */
async function send_missing(means, tally, send_ahead, on_change, signal) {
  const line = fork(signal);
  /** @type {unknown[]} */
  const failures = [];
  const lane = async () => {
    try {
      while (await send_next(means, tally, on_change, line.signal));
    } catch (failure) {
      failures.push(failure);
      line.abort();
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, send_ahead) }, lane));
  line.release();
  if (failures.length > 0) throw await explain(failures[0], means, tally);
}

/**
 * @param {Means} means
 * @param {Tally} tally
 * @param {() => void} on_change
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>} false if there was nothing left to send
 */
async function send_next({ file, resource, slots, chunk_size, backoff }, tally, on_change, signal) {
  // First the slot, then the chunk: what is missing may change while one waits.
  await slots.take(signal);
  try {
    const flight = tally.take_off(chunk_size.bytes);
    if (flight === null) return false;
    on_change();
    const on_sent = (/** @type {number} */ bytes) => {
      flight.sent = bytes;
      on_change();
    };
    const view = await resource.store(file, flight.range, on_sent, signal);
    tally.land(flight, view.received);
    if (!covers(tally.received, flight.range)) {
      throw new RequestFailure({ status: 200, code: "bad_answer", message: "The server did not store a chunk" });
    }
  } finally {
    slots.give_back();
  }
  backoff.reset();
  chunk_size.succeeded();
  on_change();
  return true;
}

/**
 * Draw the lesson from a failed chunk, and look behind a failure that may have another cause.
 *
 * @param {unknown} failure
 * @param {Means} means
 * @param {Tally} tally with the chunks that were under way
 * @returns {Promise<unknown>} the failure to go by
 */
async function explain(failure, { file, chunk_size }, tally) {
  if (!(failure instanceof RequestFailure)) return failure;
  if (failure.status === 413) chunk_size.refused(failure.max_chunk_bytes);
  if (failure.status === 0) chunk_size.failed();
  if (failure.code === "network_error") {
    // For a file that has changed on disk a browser reports no more than a failed request.
    const first_bytes = [...tally.flights].map(({ range: [start] }) => file.slice(start, start + 1).arrayBuffer());
    try {
      await Promise.all(first_bytes);
    } catch {
      return new FileUnreadable();
    }
  }
  return failure;
}

/** @returns {Generator<number, never>} seconds */
function* poll_intervals() {
  for (let seconds = FIRST_POLL_S; ; seconds = Math.min(seconds * 1.5, LONGEST_POLL_S)) yield seconds;
}
