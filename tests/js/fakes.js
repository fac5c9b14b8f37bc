/**
 * Stand-ins for the world around the library: a clock, a file, a server, and a page that watches.
 *
 * The server is a plain model: one array of bytes and one of flags. It shares no code with the
 * library, so what it believes is independent of what is tested.
 */

import assert from "node:assert/strict";

import { Aborted, RequestFailure } from "../../static/src/errors.js";
import { Slots } from "../../static/src/slots.js";
import { create_uploader } from "../../static/src/uploader.js";

/** Let everything that is ready to run run. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A clock that moves only when a test says so. `random` is 0.5 unless set. */
export class FakeSurroundings {
  constructor() {
    this.time_s = 1000;
    this.timers = new Map();
    this.waits_s = [];
    this.reported = [];
    this.online_listeners = new Set();
    this.random = () => 0.5;
    this.next_handle = 1;

    this.set_timer = (callback, seconds) => {
      this.waits_s.push(seconds);
      this.timers.set(this.next_handle, { at_s: this.time_s + seconds, callback });
      return this.next_handle++;
    };
    this.clear_timer = (handle) => this.timers.delete(handle);
    this.now_s = () => this.time_s;
    this.on_online = (callback) => {
      this.online_listeners.add(callback);
      return () => this.online_listeners.delete(callback);
    };
    this.report = (error) => this.reported.push(error);
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

  go_online() {
    for (const callback of [...this.online_listeners]) callback();
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
      bytes: this.bytes.slice(start, stop),
      arrayBuffer: async () => {
        if (!this.readable) throw new Error("NotReadableError");
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
  constructor({ chunk_bytes = 4, max_chunk_bytes = 1000, send_ahead = 1 } = {}) {
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
    return { status: 200, retry_after: null, body };
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
        if (!["CREATED", "UPLOADING", "CANCELLED"].includes(this.state)) return refusal(409, "wrong_state");
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
  const body = code === undefined ? null : { code, detail: `detail of ${code}`, ...more };
  return { status, retry_after: null, body };
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
export function arrange({ length = 10, server = new FakeServer(), file = new FakeFile(length), slots = new Slots(4) } = {}) {
  const surroundings = new FakeSurroundings();
  const collaborators = { transport: server.transport, slots, surroundings };
  const uploader = create_uploader(collaborators, "http://host/incoming/frontend/", "ticket-1", file);
  const events = [];
  for (const name of ["onprogress", "onfinished", "oncancelled", "onerror"]) {
    uploader[name] = (argument) => {
      assert.equal(argument, uploader);
      events.push({ name, ...snapshot(uploader) });
    };
  }
  return { uploader, server, file, surroundings, events };
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
