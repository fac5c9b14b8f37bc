/**
 * HTTP in a browser: the only room that knows XMLHttpRequest and fetch.
 *
 * Chunks go by XMLHttpRequest, because fetch tells nothing of the progress of a body; small calls
 * go by fetch. Both resolve with the answer, whatever its status, and reject with RequestFailure
 * (status 0) when there is none, or with Aborted. A frozen line never raises an error in any
 * browser, so each request has a stall time-out of its own.
 *
 * What an answer means is for upload_resource.js to say.
 */

import { Aborted, RequestFailure } from "./errors.js";
import { fork } from "./waiting.js";

/** @typedef {import("./surroundings.js").Surroundings} Surroundings */

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {string | null} retry_after the header as it came
 * @property {any} body the parsed JSON, null if it is none
 * @property {string} text
 */

/**
 * @typedef {object} Transport
 * @property {(request: {method: string, url: string, json?: object, form?: URLSearchParams,
 *   signal: AbortSignal}) => Promise<Answer>} call
 * @property {(request: {url: string, headers: Record<string, string>, body: Blob, signal: AbortSignal,
 *   on_sent: (bytes: number) => void}) => Promise<Answer>} put `on_sent` tells how many bytes the network has taken
 */

// A request without any progress for so long is given up. Servers and proxies may take some
// seconds to store a chunk whose last byte they have; a minute would be a long time to look at a
// bar that does not move.
const STALL_S = 30;

/**
 * @param {Surroundings} surroundings
 * @returns {Transport}
 */
export function create_transport(surroundings) {
  return {
    async call({ method, url, json, form, signal }) {
      const line = fork(signal);
      let stalled = false;
      const timer = surroundings.set_timer(() => {
        stalled = true;
        line.abort();
      }, STALL_S);
      try {
        const response = await fetch(url, {
          method,
          headers: json === undefined ? {} : { "Content-Type": "application/json" },
          body: json === undefined ? form : JSON.stringify(json),
          cache: "no-store",
          signal: line.signal,
        });
        return answer(response.status, response.headers.get("Retry-After"), await response.text());
      } catch {
        if (signal.aborted) throw new Aborted();
        throw stalled ? stall() : network_error();
      } finally {
        surroundings.clear_timer(timer);
        line.release();
      }
    },

    put({ url, headers, body, signal, on_sent }) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(new Aborted());
        const xhr = new XMLHttpRequest();
        const give_up = () => end(() => reject(stall()));
        const call_off = () => end(() => reject(new Aborted()));
        let timer = surroundings.set_timer(give_up, STALL_S);

        /** @param {() => void} settle */
        const end = (settle) => {
          surroundings.clear_timer(timer);
          signal.removeEventListener("abort", call_off);
          xhr.onload = xhr.onerror = xhr.onabort = xhr.upload.onprogress = null;
          xhr.abort(); // does nothing once the answer is in
          settle();
        };

        xhr.upload.onprogress = ({ loaded }) => {
          surroundings.clear_timer(timer);
          timer = surroundings.set_timer(give_up, STALL_S);
          on_sent(loaded);
        };
        xhr.onload = () => {
          // Firefox calls it an answer when the connection is closed without one.
          if (xhr.status === 0) return end(() => reject(network_error()));
          const answered = answer(xhr.status, xhr.getResponseHeader("Retry-After"), xhr.responseText);
          end(() => resolve(answered));
        };
        // The browser itself may abort it: somebody pressed Escape, or a navigation came to nothing.
        xhr.onerror = xhr.onabort = () => end(() => reject(network_error()));
        signal.addEventListener("abort", call_off);

        xhr.open("PUT", url);
        for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
        xhr.send(body);
      });
    },
  };
}

/**
 * @param {number} status
 * @param {string | null} retry_after
 * @param {string} text
 * @returns {Answer}
 */
function answer(status, retry_after, text) {
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {} // the page of a proxy, say
  return { status, retry_after, body, text };
}

function network_error() {
  return new RequestFailure({ status: 0, code: "network_error", message: "The server cannot be reached" });
}

function stall() {
  return new RequestFailure({ status: 0, code: "stalled", message: "The server does not answer" });
}
