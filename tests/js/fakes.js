/**
 * Stand-ins for the world around the library: a clock, a file, a server, and a page that watches.
 *
 * The server is a plain model: one array of bytes and one of flags. It shares no code with the
 * library, so what it believes is independent of what is tested.
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import { Aborted, RequestFailure } from "../../static/src/errors.js";
import { Digester } from "../../static/src/digester.js";
import { Notebook } from "../../static/src/notebook.js";
import { Slots } from "../../static/src/slots.js";
import { Uploader } from "../../static/src/uploader.js";

/** Let everything that is ready to run run. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

export const sha256_hex = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** What all tabs of one browser share. */
export class FakeBrowser {
  constructor() {
    this.storage = new FakeStorage();
    this.claims = new Map();
  }
}

/** Like the real one, its keys are properties. */
class FakeStorage {
  setItem(key, text) {
    this[key] = String(text);
  }

  getItem(key) {
    return Object.hasOwn(this, key) ? this[key] : null;
  }

  removeItem(key) {
    delete this[key];
  }
}

/**
 * A clock that moves only when a test says so. `random` is 0.5 unless set. An insecure context,
 * without digests, unless `make_secure()` is called.
 */
export class FakeSurroundings {
  constructor(browser = new FakeBrowser()) {
    this.time_s = 1000;
    this.timers = new Map();
    this.waits_s = [];
    this.reported = [];
    this.wake_listeners = new Set();
    this.random = () => 0.5;
    this.next_handle = 1;

    this.set_timer = (callback, seconds) => {
      this.waits_s.push(seconds);
      this.timers.set(this.next_handle, { at_s: this.time_s + seconds, callback });
      return this.next_handle++;
    };
    this.clear_timer = (handle) => this.timers.delete(handle);
    this.now_s = () => this.time_s;
    this.on_wake = (callback) => {
      this.wake_listeners.add(callback);
      return () => this.wake_listeners.delete(callback);
    };
    this.report = (error) => this.reported.push(error);
    this.find_sha256 = () => null;
    this.claim = (name, on_lost) => {
      const mine = { on_lost };
      const other = browser.claims.get(name);
      browser.claims.set(name, mine);
      other?.on_lost();
      return () => {
        if (browser.claims.get(name) === mine) browser.claims.delete(name);
      };
    };
    this.find_claims = async () => new Set(browser.claims.keys());
    this.storage = () => browser.storage;
    this.databases = () => null;
  }

  make_secure() {
    this.find_sha256 = () => async (bytes) => {
      const { buffer, byteOffset, byteLength } = createHash("sha256").update(bytes).digest();
      return buffer.slice(byteOffset, byteOffset + byteLength);
    };
  }

  async advance(seconds) {
    const end_s = this.time_s + seconds;
    for (;;) {
      await settle();
      const due = [...this.timers].filter(([, timer]) => timer.at_s <= end_s).sort((a, b) => a[1].at_s - b[1].at_s);
      if (due.length === 0) break;
      const [handle, timer] = due[0];
      this.timers.delete(handle);
      this.time_s = Math.max(this.time_s, timer.at_s);
      timer.callback();
    }
    this.time_s = end_s;
  }

  wake() {
    for (const callback of [...this.wake_listeners]) callback();
  }
}

export class FakeFile {
  constructor(length, name = "report.pdf") {
    this.name = name;
    this.size = length;
    this.type = "application/pdf";
    this.lastModified = 1700000000123;
    this.bytes = Uint8Array.from({ length }, (_, position) => (position * 7 + 13) % 251);
    this.readable = true;
  }

  slice(start, stop) {
    return {
      size: stop - start,
      bytes: this.bytes.slice(start, stop),
      slice: (first, end = stop - start) => this.slice(start + first, start + end),
      arrayBuffer: async () => {
        if (!this.readable) throw new Error("NotReadableError");
        return this.bytes.slice(start, stop).buffer;
      },
    };
  }
}

/**
 * The server, seen through the transport.
 *
 * `intercept(request, normal)` may be set: what it returns or throws is the answer, `normal()` is
 * what the server would do. A request is {method, json, reason, start, stop, length, body, on_sent}.
 */
export class FakeServer {
  constructor({ chunk_bytes = 4, max_chunk_bytes = chunk_bytes, send_ahead = 1 } = {}) {
    Object.assign(this, { chunk_bytes, max_chunk_bytes, send_ahead });
    this.state = "CREATED";
    this.announced = null;
    this.bytes = null;
    this.flags = null;
    this.reason = null;
    this.notified = false;
    this.requests = [];
    this.intercept = (request, normal) => normal();
    this.transport = {
      call: ({ method, url, json, signal }) => {
        const reason = new URL(url).searchParams.get("reason");
        return this.#handle({ method, url, json, reason }, signal);
      },
      put: ({ url, headers, body, on_sent, signal }) => {
        const [start, last, length] = headers["Content-Range"].match(/\d+/g).map(Number);
        return this.#handle({ method: "PUT", url, headers, start, stop: last + 1, length, body, on_sent }, signal);
      },
    };
  }

  /** The methods of all requests so far: "POST PUT GET". */
  get log() {
    return this.requests.map((request) => request.method).join(" ");
  }

  get received() {
    const ranges = [];
    (this.flags ?? []).forEach((flag, position) => {
      if (!flag) return;
      if (ranges.at(-1)?.[1] === position) ranges.at(-1)[1] += 1;
      else ranges.push([position, position + 1]);
    });
    return ranges;
  }

  view(more = {}) {
    const { chunk_bytes, max_chunk_bytes, send_ahead, state, received, reason, notified } = this;
    const length = this.announced?.length ?? null;
    const body = { state, length, received, chunk_bytes, max_chunk_bytes, send_ahead, reason, notified, ...more };
    return { status: 200, retry_after: null, body, text: "" };
  }

  store(start, bytes) {
    bytes.forEach((byte, index) => {
      this.bytes[start + index] = byte;
      this.flags[start + index] = true;
    });
    if (this.flags.every(Boolean)) this.state = "COMPLETE";
  }

  finish() {
    this.state = "FINISHED";
    this.notified = true;
  }

  #handle(request, signal) {
    request.signal = signal;
    this.requests.push(request);
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new Aborted());
      const call_off = () => reject(new Aborted());
      signal.addEventListener("abort", call_off);
      Promise.resolve()
        .then(() => this.intercept(request, () => this.#normal(request)))
        .then(resolve, reject)
        .finally(() => signal.removeEventListener("abort", call_off));
    });
  }

  #normal(request) {
    switch (request.method) {
      case "POST":
        if (this.state === "CANCELLED") return refusal(410, "upload_gone");
        this.announced ??= request.json;
        if (this.announced.length !== request.json.length) return refusal(409, "file_changed");
        this.bytes ??= new Uint8Array(request.json.length);
        this.flags ??= Array(request.json.length).fill(false);
        if (this.state === "CREATED") this.state = request.json.length === 0 ? "COMPLETE" : "UPLOADING";
        return this.view();
      case "PUT":
        if (this.state === "CANCELLED") return refusal(410, "upload_gone");
        request.on_sent(request.stop - request.start);
        this.store(request.start, request.body.bytes);
        return this.view();
      case "DELETE":
        if (!["CREATED", "UPLOADING", "COMPLETE", "CANCELLED"].includes(this.state)) return refusal(409, "wrong_state");
        this.state = "CANCELLED";
        this.reason ??= request.reason;
        return this.view();
      default:
        return this.view();
    }
  }
}

/** An answer of the server that says no. Without a code: of a proxy. */
export function refusal(status, code, more = {}) {
  const body = code === undefined ? null : { status, code, detail: `detail of ${code}`, ...more };
  return { status, retry_after: null, body, text: "" };
}

export function line_lost() {
  throw new RequestFailure({ status: 0, code: "network_error", message: "The server cannot be reached" });
}

/** For `intercept`: an answer that comes when a test says so. */
export function held() {
  const hold = {};
  hold.promise = new Promise((resolve, reject) => Object.assign(hold, { resolve, reject }));
  return hold;
}

const PROPERTIES = [
  ...["filename", "bytes_total", "bytes_tx", "bytes_acked", "bytes_ahead", "frac_complete"],
  ...["chunks_tx_now", "chunks_acked_now", "chunks_ahead", "state_msg", "cancel_msg", "error_code", "error_msg"],
  ...["connected", "finished", "paused", "can_pause", "cancelling", "cancelled", "can_cancel"],
];

export const snapshot = (uploader) => Object.fromEntries(PROPERTIES.map((name) => [name, uploader[name]]));

/**
 * An uploader with everything around it, watched by a page that notes every property in every
 * callback. Nothing is started.
 */
export function arrange({
  length = 10,
  server = new FakeServer(),
  file = new FakeFile(length),
  browser = new FakeBrowser(),
  surroundings = new FakeSurroundings(browser),
  file_slots = new Slots(3),
  chunk_slots = new Slots(4),
  ticket = "ticket-1",
  relative_path = null,
} = {}) {
  const notebook = new Notebook(surroundings);
  const digester = new Digester(surroundings);
  const shared = { transport: server.transport, digester, file_slots, chunk_slots, notebook, running: new Set(), surroundings };
  const frontend_url = "http://host/incoming/frontend/";
  const uploader = new Uploader(shared, { frontend_url, ticket, file, relative_path, file_handle: null, remember: true });
  const events = [];
  for (const name of ["onprogress", "onfinished", "oncancelled", "onerror"]) {
    uploader[name] = (argument) => {
      assert.equal(argument, uploader);
      events.push({ name, ...snapshot(uploader) });
    };
  }
  return { uploader, server, file, surroundings, events, browser, shared };
}

/** What must hold in every callback, whatever happens. */
export function check_events(events) {
  for (const event of events) {
    for (const name of ["connected", "finished", "paused", "can_pause", "cancelling", "cancelled", "can_cancel"]) {
      assert.equal(typeof event[name], "boolean", name);
    }
    assert.ok(event.bytes_acked <= event.bytes_tx && event.bytes_tx <= event.bytes_total, "acked <= tx <= total");
    assert.ok(event.chunks_acked_now <= event.chunks_tx_now);
    assert.equal(event.bytes_ahead, event.bytes_tx - event.bytes_acked);
    assert.equal(event.chunks_ahead, event.chunks_tx_now - event.chunks_acked_now);
    assert.equal(event.frac_complete, event.bytes_total === 0 ? 1 : event.bytes_acked / event.bytes_total);
    assert.equal(typeof event.state_msg, "string");
    assert.notEqual(event.state_msg, "");
    if (event.paused) assert.ok(event.can_pause && !event.connected, "a paused upload can be unpaused and has no line");
    if (event.finished || event.cancelled) assert.ok(!event.can_pause && !event.can_cancel && !event.paused && !event.cancelling);
    if (event.frac_complete === 1 && event.connected) assert.ok(!event.can_pause && !event.can_cancel);
  }
  const endings = events.filter(({ name }) => name !== "onprogress");
  assert.ok(endings.length <= 1, "one ending");
}
