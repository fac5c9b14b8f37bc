/**
 * The uploader: what a page sees of one upload.
 *
 * Keeps the few facts that cannot be worked out (phase, connected, the books, the messages) and
 * derives every property of the contract from them, so that all are consistent in every callback.
 * Carries a conversation with the server through any number of lost lines. What is said in a
 * conversation is in conversation.js; what the numbers mean is in tally.js.
 *
 * Exactly one of onfinished, oncancelled and onerror is called in an uploader's life, once.
 */

import { Backoff } from "./backoff.js";
import { ChunkSize } from "./chunk_size.js";
import { cancel, deliver } from "./conversation.js";
import { HandoverFailure, UploadFailure, verdict } from "./errors.js";
import { Tally } from "./tally.js";
import { UploadResource } from "./upload_resource.js";
import { wait_or_online } from "./waiting.js";

/** @typedef {import("./slots.js").Slots} Slots */
/** @typedef {import("./surroundings.js").Surroundings} Surroundings */
/** @typedef {import("./transport.js").Transport} Transport */
/** @typedef {import("./upload_resource.js").UploadView} UploadView */

/**
 * - `new`: nothing has been sent
 * - `uploading`: from start() until the app has the file, with or without a line
 * - `paused`
 * - `cancelling`: asked for, not yet confirmed
 * - `finished`, `cancelled`, `failed`: over
 *
 * @typedef {"new" | "uploading" | "paused" | "cancelling" | "finished" | "cancelled" | "failed"} Phase
 */

/** @typedef {(uploader: Uploader) => void} Callback */
/** @typedef {ReturnType<typeof create_uploader>} Uploader */

/**
 * @param {object} collaborators
 * @param {Transport} collaborators.transport
 * @param {Slots} collaborators.slots
 * @param {Surroundings} collaborators.surroundings
 * @param {string} frontend_url
 * @param {string} upload_id the ticket
 * @param {File} file
 */
export function create_uploader({ transport, slots, surroundings }, frontend_url, upload_id, file) {
  if (typeof file?.name !== "string" || typeof file.slice !== "function") {
    throw new TypeError("incoming.Uploader needs a File as its second argument");
  }

  const backoff = new Backoff(surroundings.random);
  const resource = new UploadResource(transport, frontend_url, upload_id);
  const means = { file, resource, slots, chunk_size: new ChunkSize(), backoff, surroundings };

  /** @type {Phase} */
  let phase = "new";
  let connected = false;
  let announced = false;
  let tally = new Tally(file.size, []);
  let task = new AbortController();
  /** @type {string | null} */
  let trouble = null;
  /** @type {string | null} */
  let cancel_msg = null;
  /** @type {string | null} */
  let error_code = null;
  /** @type {string | null} */
  let error_msg = null;

  const uploader = {
    get filename() {
      return file.name;
    },
    get bytes_total() {
      return file.size;
    },
    get bytes_tx() {
      return tally.bytes_tx;
    },
    get bytes_acked() {
      return tally.bytes_acked;
    },
    get bytes_ahead() {
      return tally.bytes_tx - tally.bytes_acked;
    },
    get frac_complete() {
      return file.size === 0 ? 1 : tally.bytes_acked / file.size;
    },
    get chunks_tx_now() {
      return tally.chunks_tx;
    },
    get chunks_acked_now() {
      return tally.chunks_acked;
    },
    get chunks_ahead() {
      return tally.chunks_tx - tally.chunks_acked;
    },

    get connected() {
      return connected;
    },
    get finished() {
      return phase === "finished";
    },
    get paused() {
      return phase === "paused";
    },
    get can_pause() {
      return (phase === "uploading" || phase === "paused") && !last_chunk_is_sent();
    },
    get cancelling() {
      return phase === "cancelling";
    },
    get cancelled() {
      // An upload that failed will not come about either; pages unlock their file chooser by this.
      return phase === "cancelled" || phase === "failed";
    },
    get can_cancel() {
      return phase === "new" || ((phase === "uploading" || phase === "paused") && !last_chunk_is_sent());
    },

    get state_msg() {
      return describe();
    },
    get cancel_msg() {
      return cancel_msg;
    },
    get error_code() {
      return error_code;
    },
    get error_msg() {
      return error_msg;
    },

    /** @type {Callback} */
    onprogress() {},
    /** @type {Callback} */
    onfinished() {},
    /** @type {Callback} */
    oncancelled() {},
    /** @type {Callback} */
    onerror() {},

    /** Begin. A second call does nothing. */
    start() {
      if (phase === "new") upload();
      return uploader;
    },

    /**
     * Stop sending, or go on. Does nothing while `can_pause` is false.
     *
     * @param {"pause" | "unpause" | "toggle"} what
     */
    pause(what) {
      if (!["pause", "unpause", "toggle"].includes(what)) {
        throw new TypeError(`pause() takes "pause", "unpause" or "toggle", not ${what}`);
      }
      if (phase === "paused") {
        if (what !== "pause") upload();
      } else if (uploader.can_pause && what !== "unpause") {
        phase = "paused";
        connected = false;
        call_off();
        call("onprogress");
      }
      return uploader;
    },

    /**
     * End the upload without delivery. Does nothing while `can_cancel` is false.
     *
     * @param {string} [reason] for the app
     */
    cancel(reason) {
      if (!uploader.can_cancel) return uploader;
      const text = String(reason ?? "Cancelled by the user");
      phase = "cancelling";
      cancel_msg = text;
      call_off();
      persevere((signal) => cancel(means, text, signal));
      call("onprogress");
      return uploader;
    },
  };
  return uploader;

  function upload() {
    phase = "uploading";
    trouble = null;
    backoff.reset();
    persevere((signal) => {
      const unless_called_off = (/** @type {() => void} */ action) => {
        if (!signal.aborted) action();
      };
      return deliver(
        means,
        {
          on_connected: (books) =>
            unless_called_off(() => {
              connected = announced = true;
              trouble = null;
              tally = books;
              call("onprogress");
            }),
          on_change: () => unless_called_off(() => call("onprogress")),
        },
        signal,
      );
    });
    call("onprogress");
  }

  /** Stop whatever is under way, without a word to the page. */
  function call_off() {
    task.abort();
    tally.drop_flights();
  }

  /**
   * Carry a conversation to its end, beginning it anew whenever the line is lost.
   *
   * @param {(signal: AbortSignal) => Promise<UploadView>} converse
   */
  async function persevere(converse) {
    task = new AbortController();
    const { signal } = task;
    try {
      const view = await retry(converse, signal);
      if (!signal.aborted) settle(view);
    } catch (error) {
      if (!signal.aborted) fail(error);
    }
  }

  /**
   * @param {(signal: AbortSignal) => Promise<UploadView>} converse
   * @param {AbortSignal} signal
   */
  async function retry(converse, signal) {
    for (;;) {
      try {
        return await converse(signal);
      } catch (/** @type {any} */ failure) {
        if (signal.aborted || verdict(failure) === "fatal") throw failure;
        connected = false;
        trouble = failure.message;
        tally.drop_flights();
        call("onprogress");
        await wait_or_online(surroundings, Math.max(backoff.next(), failure.retry_after_s), signal);
      }
    }
  }

  /** @param {UploadView} view what a conversation came to */
  function settle(view) {
    switch (view.state) {
      case "FINISHED":
        phase = "finished";
        call("onprogress");
        call("onfinished");
        connected = false;
        return call("onprogress");
      case "CANCELLED":
        return end_cancelled(view.reason);
      case "FAILED":
        return fail(new HandoverFailure(view.reason));
      default:
        // A cancel that came too late: the file is there already, so see it through.
        cancel_msg = null;
        announced = true;
        tally = new Tally(file.size, view.received);
        return upload();
    }
  }

  /** @param {string | null} reason of the server, for a cancel that the page did not ask for */
  function end_cancelled(reason) {
    phase = "cancelled";
    connected = false;
    cancel_msg ??= reason ?? "Cancelled by the server";
    tally.drop_flights();
    call("onprogress");
    call("oncancelled");
  }

  /** @param {any} error */
  function fail(error) {
    // The server has forgotten it: nothing is left to cancel.
    if (phase === "cancelling" && error.code === "unknown_upload") return end_cancelled(null);
    const known = error instanceof UploadFailure;
    if (!known) surroundings.report(error);
    phase = "failed";
    connected = false;
    error_code = known ? error.code : "internal_error";
    error_msg = error.message;
    tally.drop_flights();
    call("onprogress");
    call("onerror");
  }

  function last_chunk_is_sent() {
    return announced && tally.bytes_tx === tally.length;
  }

  /**
   * Tell the page. Its mistakes are its own and must not stop the upload.
   *
   * @param {"onprogress" | "onfinished" | "oncancelled" | "onerror"} name
   */
  function call(name) {
    try {
      uploader[name]?.(uploader);
    } catch (error) {
      surroundings.report(error);
    }
  }

  function describe() {
    switch (phase) {
      case "new":
        return "Not started";
      case "uploading":
        if (!connected) return trouble === null ? "Connecting" : `Trying again: ${trouble}`;
        return tally.bytes_acked < tally.length ? "Uploading" : "Waiting for the application";
      case "paused":
        return "Paused";
      case "cancelling":
        return "Cancelling";
      case "finished":
        return "Finished";
      case "cancelled":
        return "Cancelled";
      case "failed":
        return "Failed";
    }
  }
}
