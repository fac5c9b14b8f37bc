// incoming_wsgi browser library, MIT license. Generated from static/src by npm run build.

// src/server_url.js
var CONVENTIONAL_PATH = "/incoming/frontend/";
function find_frontend_url({ script_url, page_url, hostname }) {
  const script_base = script_url === null ? null : find_script_base(script_url);
  const path = script_base?.pathname ?? CONVENTIONAL_PATH;
  const page = new URL(page_url);
  if (hostname !== null) return `${page.protocol}//${hostname}${path}`;
  return `${script_base?.origin ?? page.origin}${path}`;
}
function find_script_base(script_url) {
  const [, base] = script_url.match(/^(https?:[^?#]*\/frontend\/)/) ?? [];
  return base === void 0 ? null : new URL(base);
}

// src/errors.js
var Aborted = class extends Error {
  constructor() {
    super("called off");
    this.name = "Aborted";
  }
};
var UploadFailure = class extends Error {
  /**
   * @param {string} code
   * @param {string} message for the person at the page
   */
  constructor(code, message) {
    super(message);
    this.name = "UploadFailure";
    this.code = code;
  }
};
var FileUnreadable = class extends UploadFailure {
  constructor() {
    super(
      "file_unreadable",
      "The file cannot be read any more. It was changed, moved or deleted after it was chosen; please choose it again."
    );
  }
};
var HandoverFailure = class extends UploadFailure {
  /** @param {string | null} reason of the server */
  constructor(reason) {
    super("handover_failed", `The file has arrived, but the application did not take it${reason ? `: ${reason}` : ""}`);
  }
};
var RequestFailure = class extends UploadFailure {
  /**
   * @param {object} evidence
   * @param {number} evidence.status HTTP status, 0 without an answer
   * @param {string} [evidence.code] of the server, or of the transport
   * @param {string} [evidence.message]
   * @param {number} [evidence.retry_after_s]
   * @param {number | null} [evidence.max_chunk_bytes]
   */
  constructor({ status, code, message, retry_after_s = 0, max_chunk_bytes = null }) {
    super(code ?? `http_${status}`, message ?? `The server answered with status ${status}`);
    this.status = status;
    this.retry_after_s = retry_after_s;
    this.max_chunk_bytes = max_chunk_bytes;
  }
};
var BY_CODE = {
  network_error: "lost",
  stalled: "lost",
  bad_answer: "lost",
  chunk_too_large: "ask",
  digest_mismatch: "ask",
  incomplete_body: "ask",
  superseded: "ask",
  upload_gone: "ask",
  wrong_state: "ask",
  file_too_large: "fatal",
  unknown_upload: "fatal"
};
var BY_STATUS = {
  404: "lost",
  408: "lost",
  413: "ask",
  425: "lost",
  429: "lost"
};
function verdict(failure) {
  if (!(failure instanceof RequestFailure)) return "fatal";
  return BY_CODE[failure.code] ?? BY_STATUS[failure.status] ?? (failure.status >= 500 ? "lost" : "fatal");
}

// src/slots.js
var Slots = class {
  /** @param {number} number */
  constructor(number) {
    this.free = number;
    this.queue = [];
  }
  /**
   * Wait for a slot. Whoever gets one calls `give_back()` once.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<void>} rejects with Aborted
   */
  take(signal) {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new Aborted());
      if (this.free > 0) {
        this.free -= 1;
        return resolve();
      }
      const leave = () => {
        this.queue = this.queue.filter((other) => other !== enter);
        reject(new Aborted());
      };
      const enter = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      signal.addEventListener("abort", leave);
      this.queue.push(enter);
    });
  }
  give_back() {
    const enter = this.queue.shift();
    if (enter === void 0) this.free += 1;
    else enter();
  }
};

// src/surroundings.js
var browser = {
  page_url: () => location.href,
  set_timer: (callback, seconds) => setTimeout(callback, seconds * 1e3),
  clear_timer: (handle) => clearTimeout(handle),
  now_s: () => performance.now() / 1e3,
  random: () => Math.random(),
  on_online(callback) {
    addEventListener("online", callback);
    return () => removeEventListener("online", callback);
  },
  report(error) {
    setTimeout(() => {
      throw error;
    });
  }
};

// src/waiting.js
function wait(surroundings, seconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new Aborted());
    const call_off = () => {
      surroundings.clear_timer(timer);
      reject(new Aborted());
    };
    const timer = surroundings.set_timer(() => {
      signal.removeEventListener("abort", call_off);
      resolve();
    }, seconds);
    signal.addEventListener("abort", call_off);
  });
}
async function wait_or_online(surroundings, seconds, signal) {
  const early = fork(signal);
  const forget = surroundings.on_online(() => early.abort());
  try {
    await wait(surroundings, seconds, early.signal);
  } catch (error) {
    if (signal.aborted) throw error;
  } finally {
    forget();
    early.release();
  }
}
function fork(signal) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  return {
    signal: controller.signal,
    abort,
    release: () => signal.removeEventListener("abort", abort)
  };
}

// src/transport.js
var STALL_S = 30;
function create_transport(surroundings) {
  return {
    async call({ method, url, json, signal }) {
      const line = fork(signal);
      let stalled = false;
      const timer = surroundings.set_timer(() => {
        stalled = true;
        line.abort();
      }, STALL_S);
      try {
        const response = await fetch(url, {
          method,
          headers: json === void 0 ? {} : { "Content-Type": "application/json" },
          body: json === void 0 ? void 0 : JSON.stringify(json),
          cache: "no-store",
          signal: line.signal
        });
        const text = await response.text();
        return { status: response.status, retry_after: response.headers.get("Retry-After"), body: parse_json(text) };
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
        const end = (settle) => {
          surroundings.clear_timer(timer);
          signal.removeEventListener("abort", call_off);
          xhr.onload = xhr.onerror = xhr.upload.onprogress = null;
          xhr.abort();
          settle();
        };
        xhr.upload.onprogress = ({ loaded }) => {
          surroundings.clear_timer(timer);
          timer = surroundings.set_timer(give_up, STALL_S);
          on_sent(loaded);
        };
        xhr.onload = () => {
          const answer = {
            status: xhr.status,
            retry_after: xhr.getResponseHeader("Retry-After"),
            body: parse_json(xhr.responseText)
          };
          end(() => resolve(answer));
        };
        xhr.onerror = () => end(() => reject(network_error()));
        signal.addEventListener("abort", call_off);
        xhr.open("PUT", url);
        for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
        xhr.send(body);
      });
    }
  };
}
function parse_json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
function network_error() {
  return new RequestFailure({ status: 0, code: "network_error", message: "The server cannot be reached" });
}
function stall() {
  return new RequestFailure({ status: 0, code: "stalled", message: "The server does not answer" });
}

// src/backoff.js
var FIRST_S = 0.5;
var LONGEST_S = 60;
var Backoff = class {
  /** @param {() => number} random a number in [0, 1) */
  constructor(random) {
    this.random = random;
    this.failures = 0;
  }
  /** @returns {number} seconds */
  next() {
    const limit_s = Math.min(LONGEST_S, FIRST_S * 2 ** this.failures);
    this.failures += 1;
    return limit_s * this.random();
  }
  reset() {
    this.failures = 0;
  }
};

// src/chunk_size.js
var SMALLEST_BYTES = 64 * 1024;
var SUCCESSES_TO_GROW = 8;
var ChunkSize = class {
  constructor() {
    this.bytes = Infinity;
    this.suggested = Infinity;
    this.refused_limit = Infinity;
    this.successes = 0;
  }
  /**
   * Note what the server says on connection.
   *
   * @param {{ chunk_bytes: number, max_chunk_bytes: number }} view
   */
  suggest({ chunk_bytes, max_chunk_bytes }) {
    this.suggested = Math.min(chunk_bytes, max_chunk_bytes);
    this.bytes = Math.min(this.bytes, this.ceiling);
  }
  /** A chunk of this size has arrived. */
  succeeded() {
    this.successes += 1;
    if (this.successes < SUCCESSES_TO_GROW) return;
    this.successes = 0;
    this.bytes = Math.min(this.bytes * 2, this.ceiling);
  }
  /** A chunk of this size was lost on its way. */
  failed() {
    this.successes = 0;
    this.bytes = Math.min(this.ceiling, Math.max(SMALLEST_BYTES, Math.floor(this.bytes / 2)));
  }
  /**
   * A chunk of this size is too large for the server, or for a proxy.
   *
   * @param {number | null} limit_bytes where the answer names it
   */
  refused(limit_bytes) {
    const tried = this.bytes;
    this.failed();
    this.refused_limit = limit_bytes !== null && limit_bytes < tried ? limit_bytes : this.bytes;
    this.bytes = this.ceiling;
  }
  get ceiling() {
    return Math.min(this.suggested, this.refused_limit);
  }
};

// src/ranges.js
function union(...lists) {
  const merged = [];
  for (const [start, stop] of lists.flat().sort((a, b) => a[0] - b[0])) {
    const last = merged[merged.length - 1];
    if (start >= stop) continue;
    if (last !== void 0 && start <= last[1]) last[1] = Math.max(last[1], stop);
    else merged.push([start, stop]);
  }
  return merged;
}
function missing(ranges, length) {
  const gaps = [];
  let position = 0;
  for (const [start, stop] of ranges) {
    if (position < start) gaps.push([position, Math.min(start, length)]);
    position = stop;
  }
  if (position < length) gaps.push([position, length]);
  return gaps;
}
function count_bytes(ranges) {
  return ranges.reduce((bytes, [start, stop]) => bytes + stop - start, 0);
}
function covers(ranges, [start, stop]) {
  return ranges.some((range) => range[0] <= start && stop <= range[1]);
}

// src/tally.js
var Tally = class {
  /**
   * @param {number} length of the whole file, in bytes
   * @param {readonly Range[]} received what the server has already
   */
  constructor(length, received) {
    this.length = length;
    this.received = received;
    this.chunks_acked = 0;
    this.flights = /* @__PURE__ */ new Set();
  }
  get bytes_acked() {
    return count_bytes(this.received);
  }
  get bytes_tx() {
    const sent = [...this.flights].map(({ range: [start], sent: sent2 }) => (
      /** @type {Range} */
      [start, start + sent2]
    ));
    return count_bytes(union(this.received, sent));
  }
  get chunks_tx() {
    return this.chunks_acked + this.flights.size;
  }
  /**
   * Begin the next chunk: the first bytes that are neither stored nor under way.
   *
   * @param {number} max_bytes
   * @returns {Flight | null} null if there are none
   */
  take_off(max_bytes) {
    const taken = union(this.received, [...this.flights].map((flight2) => flight2.range));
    const gap = missing(taken, this.length)[0];
    if (gap === void 0) return null;
    const flight = { range: [gap[0], Math.min(gap[1], gap[0] + max_bytes)], sent: 0 };
    this.flights.add(flight);
    return flight;
  }
  /**
   * Note the server's answer to a chunk.
   *
   * Answers overtake one another, and an older one knows less; hence a union.
   *
   * @param {Flight} flight
   * @param {readonly Range[]} received
   */
  land(flight, received) {
    this.flights.delete(flight);
    this.received = union(this.received, received);
    this.chunks_acked += 1;
  }
  /** Forget what is under way: tx falls back to acked. */
  drop_flights() {
    this.flights.clear();
  }
};

// src/upload_resource.js
var RECEIVING = ["CREATED", "UPLOADING"];
var FINAL = ["FINISHED", "CANCELLED", "FAILED"];
var is_receiving = (view) => RECEIVING.includes(view.state);
var is_final = (view) => FINAL.includes(view.state);
var MAX_REASON_CHARACTERS = 500;
var UploadResource = class {
  /**
   * @param {Transport} transport
   * @param {string} frontend_url ends with a slash
   * @param {string} upload_id
   */
  constructor(transport, frontend_url, upload_id) {
    this.transport = transport;
    this.url = `${frontend_url}uploads/${encodeURIComponent(upload_id)}`;
    this.file_tag = null;
  }
  /**
   * Say which file is coming. If bytes are stored already, the server compares: another file is
   * refused with `file_changed`.
   *
   * @param {File} file
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async announce(file, signal) {
    const json = { filename: file.name, length: file.size, type: file.type, last_modified: file.lastModified };
    const view = read_view(await this.transport.call({ method: "POST", url: this.url, json, signal }));
    this.file_tag = view.file_tag;
    return view;
  }
  /**
   * With the tag of the announced file: should another page have announced another one since, its
   * bytes and these are not mixed.
   *
   * @param {File} file
   * @param {Range} range not empty
   * @param {(bytes: number) => void} on_sent
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async store(file, [start, stop], on_sent, signal) {
    const headers = {
      "Content-Type": "application/octet-stream",
      "Content-Range": `bytes ${start}-${stop - 1}/${file.size}`,
      "If-Match": `"${this.file_tag}"`
    };
    const body = file.slice(start, stop);
    return read_view(await this.transport.put({ url: this.url, headers, body, on_sent, signal }));
  }
  /**
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async ask(signal) {
    return read_view(await this.transport.call({ method: "GET", url: this.url, signal }));
  }
  /**
   * @param {string} reason
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async cancel(reason, signal) {
    const query = new URLSearchParams({ reason: reason.slice(0, MAX_REASON_CHARACTERS) });
    return read_view(await this.transport.call({ method: "DELETE", url: `${this.url}?${query}`, signal }));
  }
};
function read_view({ status, retry_after, body }) {
  if (status < 200 || status > 299) {
    throw new RequestFailure({
      status,
      code: body?.code,
      message: body?.detail ?? body?.title,
      retry_after_s: read_retry_after_s(retry_after),
      max_chunk_bytes: body?.max_chunk_bytes
    });
  }
  if (typeof body?.state !== "string" || !Array.isArray(body.received) || !(body.chunk_bytes > 0)) {
    throw new RequestFailure({ status, code: "bad_answer", message: "Somebody else answered in the server's place" });
  }
  return body;
}
var LONGEST_RETRY_AFTER_S = 3600;
function read_retry_after_s(header) {
  if (header === null) return 0;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1e3;
  return Math.min(Math.max(seconds, 0) || 0, LONGEST_RETRY_AFTER_S);
}

// src/conversation.js
var FIRST_POLL_S = 0.2;
var LONGEST_POLL_S = 2;
var TELL_APP_WITHIN_S = 60;
async function deliver(means, listener, signal) {
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
async function cancel({ resource, surroundings }, reason, signal) {
  let view = await or_ask(resource.cancel(reason, signal), resource, signal);
  const deadline_s = surroundings.now_s() + TELL_APP_WITHIN_S;
  const polls = poll_intervals();
  while (view.state === "CANCELLED" && !view.notified && surroundings.now_s() < deadline_s) {
    await wait(surroundings, polls.next().value, signal);
    view = await resource.ask(signal);
  }
  return view;
}
async function announce({ file, resource }, signal) {
  const view = await or_ask(resource.announce(file, signal), resource, signal);
  if (view.state !== "CANCELLED" && view.length !== null && view.length !== file.size) {
    throw new RequestFailure({ status: 409, code: "file_changed", message: "The upload was begun with another file" });
  }
  return view;
}
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
async function send_missing(means, tally, send_ahead, on_change, signal) {
  const line = fork(signal);
  const failures = [];
  const lane = async () => {
    try {
      while (await send_next(means, tally, on_change, line.signal)) ;
    } catch (failure) {
      failures.push(failure);
      line.abort();
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, send_ahead) }, lane));
  line.release();
  if (failures.length > 0) throw await explain(failures[0], means, tally);
}
async function send_next({ file, resource, slots, chunk_size, backoff }, tally, on_change, signal) {
  await slots.take(signal);
  try {
    const flight = tally.take_off(chunk_size.bytes);
    if (flight === null) return false;
    on_change();
    const on_sent = (bytes) => {
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
async function explain(failure, { file, chunk_size }, tally) {
  if (!(failure instanceof RequestFailure)) return failure;
  if (failure.status === 413) chunk_size.refused(failure.max_chunk_bytes);
  if (failure.status === 0) chunk_size.failed();
  if (failure.code === "network_error") {
    const first_bytes = [...tally.flights].map(({ range: [start] }) => file.slice(start, start + 1).arrayBuffer());
    try {
      await Promise.all(first_bytes);
    } catch {
      return new FileUnreadable();
    }
  }
  return failure;
}
function* poll_intervals() {
  for (let seconds = FIRST_POLL_S; ; seconds = Math.min(seconds * 1.5, LONGEST_POLL_S)) yield seconds;
}

// src/uploader.js
function create_uploader({ transport, slots, surroundings }, frontend_url, upload_id, file) {
  if (typeof file?.name !== "string" || typeof file.slice !== "function") {
    throw new TypeError("incoming.Uploader needs a File as its second argument");
  }
  const backoff = new Backoff(surroundings.random);
  const resource = new UploadResource(transport, frontend_url, upload_id);
  const means = { file, resource, slots, chunk_size: new ChunkSize(), backoff, surroundings };
  let phase = "new";
  let connected = false;
  let announced = false;
  let tally = new Tally(file.size, []);
  let task = new AbortController();
  let trouble = null;
  let cancel_msg = null;
  let error_code = null;
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
      return phase === "cancelled" || phase === "failed";
    },
    get can_cancel() {
      return phase === "new" || (phase === "uploading" || phase === "paused") && !last_chunk_is_sent();
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
    onprogress() {
    },
    /** @type {Callback} */
    onfinished() {
    },
    /** @type {Callback} */
    oncancelled() {
    },
    /** @type {Callback} */
    onerror() {
    },
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
    }
  };
  return uploader;
  function upload() {
    phase = "uploading";
    trouble = null;
    backoff.reset();
    persevere((signal) => {
      const unless_called_off = (action) => {
        if (!signal.aborted) action();
      };
      return deliver(
        means,
        {
          on_connected: (books) => unless_called_off(() => {
            connected = announced = true;
            trouble = null;
            tally = books;
            call("onprogress");
          }),
          on_change: () => unless_called_off(() => call("onprogress"))
        },
        signal
      );
    });
    call("onprogress");
  }
  function call_off() {
    task.abort();
    tally.drop_flights();
  }
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
  async function retry(converse, signal) {
    for (; ; ) {
      try {
        return await converse(signal);
      } catch (failure) {
        if (signal.aborted || verdict(failure) === "fatal") throw failure;
        connected = false;
        trouble = failure.message;
        tally.drop_flights();
        call("onprogress");
        await wait_or_online(surroundings, Math.max(backoff.next(), failure.retry_after_s), signal);
      }
    }
  }
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
        cancel_msg = null;
        announced = true;
        tally = new Tally(file.size, view.received);
        return upload();
    }
  }
  function end_cancelled(reason) {
    phase = "cancelled";
    connected = false;
    cancel_msg ?? (cancel_msg = reason ?? "Cancelled by the server");
    tally.drop_flights();
    call("onprogress");
    call("oncancelled");
  }
  function fail(error) {
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

// src/library.js
var CHUNKS_AT_ONCE = 4;
function create_library(script_url) {
  const collaborators = {
    transport: create_transport(browser),
    slots: new Slots(CHUNKS_AT_ONCE),
    surroundings: browser
  };
  let hostname = null;
  function set_server_hostname2(host) {
    if (typeof host !== "string" || !/^[^/?#@\s]+$/.test(host)) {
      throw new TypeError(`set_server_hostname() takes host[:port], not ${host}`);
    }
    hostname = host;
  }
  function Uploader2(upload_id, file) {
    const frontend_url = find_frontend_url({ script_url, page_url: browser.page_url(), hostname });
    return create_uploader(collaborators, frontend_url, upload_id, file);
  }
  return { set_server_hostname: set_server_hostname2, Uploader: Uploader2 };
}

// src/module.js
var { set_server_hostname, Uploader } = create_library(import.meta.url);
export {
  Uploader,
  set_server_hostname
};
