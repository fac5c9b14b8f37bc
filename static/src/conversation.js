/**
 * The two conversations with the server: bring it the file, and cancel.
 *
 * Each goes from its first request to a view of the upload that settles it, on a line that holds.
 * Neither retries a lost line: every failure is thrown, and uploader.js begins the conversation
 * anew, which is safe at any point because the server's answers, not memory, say what is missing.
 *
 * Chunks are sent when others land, not by the clock: timers of background tabs are slow.
 */

import { check_unchanged, is_same_file, keep_digest, read_chunk } from "./chunk.js";
import { Aborted, FileUnreadable, RequestFailure, WrongFile, is_too_slow, verdict } from "./errors.js";
import { covers } from "./ranges.js";
import { Tally } from "./tally.js";
import { is_final, is_receiving } from "./upload_resource.js";
import { fork, unless_aborted, wait, wait_or_wake } from "./waiting.js";

/** @typedef {import("./backoff.js").Backoff} Backoff */
/** @typedef {import("./chunk.js").Chunk} Chunk */
/** @typedef {import("./digester.js").Digester} Digester */
/** @typedef {import("./pace.js").Pace} Pace */
/** @typedef {import("./slots.js").Slots} Slots */
/** @typedef {import("./surroundings.js").Surroundings} Surroundings */
/** @typedef {import("./upload_resource.js").StoredDigest} StoredDigest */
/** @typedef {import("./upload_resource.js").UploadResource} UploadResource */
/** @typedef {import("./upload_resource.js").UploadView} UploadView */

/**
 * What a conversation works with.
 *
 * @typedef {object} Means
 * @property {File} file
 * @property {string | null} relative_path
 * @property {UploadResource} resource
 * @property {StoredDigest[]} sent of the chunks that have arrived from this page
 * @property {Digester} digester of the whole page
 * @property {Slots} chunk_slots of the whole page
 * @property {Pace} pace
 * @property {Backoff} backoff
 * @property {Surroundings} surroundings
 */

/**
 * @typedef {object} Listener
 * @property {boolean} is_known whether this file was found to be the right one before
 * @property {(tally: Tally, view: UploadView) => void} on_connected the server has answered; these
 *   are the books from now on
 * @property {() => void} on_change a number in the books has changed
 * @property {() => void} on_landed a chunk is stored
 * @property {(failure: RequestFailure) => void} on_refusal a chunk came to nothing, on a good line
 * @property {(view: UploadView) => void} on_handover nothing is missing; called with each answer
 *   from then on
 */

// How long to wait between two questions to the server: very short for apps that take a file in
// milliseconds, for a page of small files would wait longer for this than for the line; twice as long
// each time, so that nobody waits much longer than the app took; at last long, for those that take
// minutes, or that are down while a hundred uploads wait for them.
const FIRST_POLL_S = 0.02;
const SOON_S = 60;
const SOON_POLL_S = 2;
const LONGEST_POLL_S = 15;

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
  const { file, resource, digester, pace, backoff, surroundings } = means;
  let view = await announce(means, signal);
  if (!listener.is_known && is_receiving(view) && view.received.length > 0 && digester.is_there) {
    const { digests = [] } = await resource.ask_digests(signal);
    const is_same = is_same_file(digester, surroundings.random, file, digests);
    if (!(await unless_aborted(is_same, signal))) throw new WrongFile();
  }
  const tally = new Tally(file.size, view.received);
  pace.suggest(view);
  listener.on_connected(tally, view);

  const polls = poll_intervals(surroundings);
  while (!is_final(view)) {
    if (is_receiving(view) && tally.bytes_acked < tally.length) {
      let pause_s = 0;
      try {
        await send_missing(means, tally, listener, signal);
      } catch (/** @type {any} */ failure) {
        if (verdict(failure) !== "ask") throw failure;
        tally.drop_flights();
        listener.on_refusal(failure);
        pause_s = Math.max(failure.retry_after_s, backoff.next());
        await wait(surroundings, pause_s, signal);
      }
      view = await resource.ask(signal);
      // All was sent, and the server does not know of it: two of them that know different things?
      if (pause_s === 0 && is_receiving(view)) await wait(surroundings, backoff.next(), signal);
    } else {
      listener.on_handover(view);
      await wait_or_wake(surroundings, polls.next().value, signal);
      view = await resource.ask(signal);
    }
    tally.received = view.received;
    if (is_receiving(view)) listener.on_change();
    else backoff.reset();
  }
  return view;
}

/**
 * Cancel the upload and wait until the app knows.
 *
 * @param {Pick<Means, "resource" | "surroundings">} means
 * @param {string} reason
 * @param {AbortSignal} signal
 * @returns {Promise<UploadView>} of an upload that is cancelled, or for which it was too late
 */
export async function cancel({ resource, surroundings }, reason, signal) {
  let view = await or_ask(resource.cancel(reason, signal), resource, signal);
  const deadline_s = surroundings.now_s() + TELL_APP_WITHIN_S;
  const polls = poll_intervals(surroundings);
  while (view.state === "CANCELLED" && !view.notified && surroundings.now_s() < deadline_s) {
    await wait_or_wake(surroundings, polls.next().value, signal);
    view = await resource.ask(signal);
  }
  return view;
}

/**
 * @param {Means} means
 * @param {AbortSignal} signal
 */
async function announce({ file, relative_path, resource }, signal) {
  const view = await or_ask(resource.announce(file, relative_path, signal), resource, signal);
  if (view.state === "CANCELLED" || view.length === file.size) return view;
  // The server compares only while it takes announcements; the end of another file must not be
  // taken for the end of this one.
  if (view.length !== null) throw new WrongFile();
  // A redirect makes a GET of a POST: that has announced nothing.
  throw new RequestFailure({ status: 200, code: "bad_answer", message: "Somebody else answered in the server's place" });
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
 * Send what is missing, as many chunks at a time as the pace allows, until nothing is.
 *
 * The first failure calls the other chunks off, and is thrown when all have stopped.
 *
 * @param {Means} means
 * @param {Tally} tally
 * @param {Listener} listener
 * @param {AbortSignal} signal
 */
async function send_missing(means, tally, listener, signal) {
  const line = fork(signal);
  /** @type {Set<Promise<void>>} */
  const lanes = new Set();
  /** @type {unknown[]} */
  const failures = [];
  let is_all_taken = false;
  for (;;) {
    while (!is_all_taken && failures.length === 0 && lanes.size < means.pace.lanes) {
      const lane = send_next(means, tally, listener, line)
        .then((has_sent) => {
          is_all_taken ||= !has_sent;
        })
        .catch((failure) => {
          line.abort();
          failures.push(failure);
        })
        .finally(() => lanes.delete(lane));
      lanes.add(lane);
    }
    if (lanes.size === 0) break;
    await Promise.race(lanes);
  }
  line.release();
  if (failures.length > 0) throw failures.find((failure) => !(failure instanceof Aborted)) ?? failures[0];
}

/**
 * @param {Means} means
 * @param {Tally} tally
 * @param {Listener} listener
 * @param {{ signal: AbortSignal, abort: () => void }} line called off by the first chunk that fails
 * @returns {Promise<boolean>} false if there was nothing left to send
 */
async function send_next(means, tally, { on_change, on_landed }, { signal, abort }) {
  const { file, resource, sent, digester, chunk_slots, pace, backoff, surroundings } = means;
  // First the slot, then the chunk: what is missing may change while one waits.
  const give_back = await chunk_slots.take(signal);
  try {
    if (signal.aborted) throw new Aborted();
    const flight = tally.take_off(pace.bytes);
    if (flight === null) return false;
    on_change();
    const chunk = await unless_aborted(read_chunk(digester, file, flight.range), signal);
    // With the last chunk it is complete: the last chance to notice that it was overwritten meanwhile.
    if (tally.is_all_taken) {
      const is_same = is_same_file(digester, surroundings.random, file, sent);
      if (!(await unless_aborted(is_same, signal))) throw new FileUnreadable();
    }
    const on_sent = (/** @type {number} */ bytes) => {
      flight.sent = bytes;
      on_change();
    };
    const sent_at_s = surroundings.now_s();
    try {
      const view = await resource.store(chunk, on_sent, signal);
      tally.land(flight, view.received);
    } catch (failure) {
      if (signal.aborted) throw new Aborted();
      abort();
      await learn(failure, chunk, means);
      throw failure;
    }
    if (!covers(tally.received, flight.range)) {
      throw new RequestFailure({ status: 200, code: "bad_answer", message: "The server did not store a chunk" });
    }
    keep_digest(sent, chunk, surroundings.random);
    pace.landed(bytes_of(chunk), surroundings.now_s() - sent_at_s);
  } finally {
    give_back();
  }
  backoff.reached(tally.bytes_acked);
  on_landed();
  return true;
}

/** @param {Chunk} chunk */
const bytes_of = ({ range: [start, stop] }) => stop - start;

/**
 * Draw the lesson from a failed chunk, and look behind a failure that may have another cause.
 * Throws FileUnreadable.
 *
 * @param {unknown} failure
 * @param {Chunk} chunk
 * @param {Means} means
 */
async function learn(failure, chunk, { pace, digester }) {
  if (!(failure instanceof RequestFailure)) return;
  if (failure.status === 413) pace.refused(bytes_of(chunk), failure.max_chunk_bytes);
  if (is_too_slow(failure)) pace.failed(bytes_of(chunk));
  // For a file that has changed on disk a browser reports no more than a failed request, or a stall.
  if (failure.status === 0 || failure.code === "digest_mismatch") await check_unchanged(digester, chunk);
}

/**
 * @param {Surroundings} surroundings
 * @returns {Generator<number, never>} seconds
 */
function* poll_intervals({ now_s, random }) {
  const begun_s = now_s();
  for (let seconds = FIRST_POLL_S; ; seconds *= 2) {
    seconds = Math.min(seconds, now_s() - begun_s < SOON_S ? SOON_POLL_S : LONGEST_POLL_S);
    yield seconds * (0.75 + random() / 2);
  }
}
