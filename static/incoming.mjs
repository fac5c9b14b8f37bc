// incoming_wsgi browser library, MIT license. Generated from static/src by npm run build.
var __defProp = Object.defineProperty;
var __typeError = (msg) => {
  throw TypeError(msg);
};
var __defNormalProp = (obj, key, value) => key in obj ? __defProp(obj, key, { enumerable: true, configurable: true, writable: true, value }) : obj[key] = value;
var __publicField = (obj, key, value) => __defNormalProp(obj, typeof key !== "symbol" ? key + "" : key, value);
var __accessCheck = (obj, member, msg) => member.has(obj) || __typeError("Cannot " + msg);
var __privateGet = (obj, member, getter) => (__accessCheck(obj, member, "read from private field"), getter ? getter.call(obj) : member.get(obj));
var __privateAdd = (obj, member, value) => member.has(obj) ? __typeError("Cannot add the same private member more than once") : member instanceof WeakSet ? member.add(obj) : member.set(obj, value);
var __privateSet = (obj, member, value, setter) => (__accessCheck(obj, member, "write to private field"), setter ? setter.call(obj, value) : member.set(obj, value), value);
var __privateMethod = (obj, member, method) => (__accessCheck(obj, member, "access private method"), method);

// src/notebook.js
var PREFIX = "incoming_wsgi ";
var DATABASE = "incoming_wsgi";
var TABLE = "file_handles";
var _Notebook_instances, storage_fn, handles_fn, open_fn;
var Notebook = class {
  /** @param {Surroundings} surroundings */
  constructor(surroundings) {
    __privateAdd(this, _Notebook_instances);
    this.surroundings = surroundings;
  }
  /** @param {Note} note */
  write(note) {
    __privateMethod(this, _Notebook_instances, storage_fn).call(this, (storage) => storage.setItem(PREFIX + note.url, JSON.stringify(note)));
  }
  /** @param {string} url */
  tear_out(url) {
    __privateMethod(this, _Notebook_instances, storage_fn).call(this, (storage) => storage.removeItem(PREFIX + url));
    __privateMethod(this, _Notebook_instances, handles_fn).call(this, "readwrite", (table) => table.delete(url));
  }
  /** @returns {Note[]} newest first */
  read() {
    const notes = [];
    __privateMethod(this, _Notebook_instances, storage_fn).call(this, (storage) => {
      for (const key of Object.keys(storage).filter((name) => name.startsWith(PREFIX))) {
        try {
          const note = JSON.parse(storage.getItem(key) ?? "");
          if (PREFIX + note.url === key) notes.push(note);
        } catch {
        }
      }
    });
    return notes.sort((a, b) => b.begun_at - a.begun_at);
  }
  /**
   * @param {string} url
   * @param {FileSystemFileHandle} handle
   */
  keep_handle(url, handle) {
    return __privateMethod(this, _Notebook_instances, handles_fn).call(this, "readwrite", (table) => table.put(handle, url));
  }
  /**
   * @param {string} url
   * @returns {Promise<any>} the handle, null if there is none
   */
  find_handle(url) {
    return __privateMethod(this, _Notebook_instances, handles_fn).call(this, "readonly", (table) => table.get(url));
  }
};
_Notebook_instances = new WeakSet();
/** @param {(storage: Storage) => void} action */
storage_fn = function(action) {
  try {
    const storage = this.surroundings.storage();
    if (storage !== null) action(storage);
  } catch {
  }
};
handles_fn = async function(mode, action) {
  try {
    const database = await __privateMethod(this, _Notebook_instances, open_fn).call(this);
    try {
      return await result(action(database.transaction(TABLE, mode).objectStore(TABLE))) ?? null;
    } finally {
      database.close();
    }
  } catch {
    return null;
  }
};
/** @returns {Promise<IDBDatabase>} */
open_fn = function() {
  const request = (
    /** @type {IDBFactory} */
    this.surroundings.databases().open(DATABASE, 1)
  );
  request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
  return result(request);
};
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
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
var Cancelled = class extends UploadFailure {
  /** @param {string} reason */
  constructor(reason) {
    super("cancelled", reason);
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
var NoTicket = class extends UploadFailure {
  /** @param {string} [reason] in the application's words */
  constructor(reason) {
    super("no_ticket", reason || "The application did not give leave to upload this file");
  }
};
var WrongFile = class extends UploadFailure {
  constructor() {
    super("file_changed", "This is not the same file: the server has a part of another one");
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
  401: "refused",
  403: "refused",
  404: "lost",
  407: "refused",
  408: "lost",
  413: "ask",
  425: "lost",
  429: "lost"
};
var TOO_SLOW = [0, 408, 502, 504];
var is_too_slow = ({ status }) => TOO_SLOW.includes(status);
function verdict(failure) {
  if (!(failure instanceof RequestFailure)) return "fatal";
  return BY_CODE[failure.code] ?? BY_STATUS[failure.status] ?? (failure.status >= 500 ? "lost" : "fatal");
}
var LONGEST_RETRY_AFTER_S = 3600;
function read_refusal({ status, retry_after, body }) {
  return new RequestFailure({
    status,
    code: body?.code,
    message: body?.detail ?? body?.title,
    retry_after_s: read_retry_after_s(retry_after),
    max_chunk_bytes: body?.max_chunk_bytes
  });
}
function read_retry_after_s(header) {
  if (header === null) return 0;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1e3;
  return Math.min(Math.max(seconds, 0) || 0, LONGEST_RETRY_AFTER_S);
}

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

// src/upload_resource.js
var RECEIVING = ["CREATED", "UPLOADING"];
var FINAL = ["FINISHED", "CANCELLED", "FAILED"];
var is_receiving = (view) => RECEIVING.includes(view.state);
var is_final = (view) => FINAL.includes(view.state);
var MAX_REASON_CHARACTERS = 500;
var to_base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
var UploadResource = class {
  /**
   * @param {Transport} transport
   * @param {string} frontend_url ends with a slash
   * @param {string} upload_id
   */
  constructor(transport, frontend_url, upload_id) {
    this.transport = transport;
    this.upload_id = upload_id;
    this.url = `${frontend_url}uploads/${encodeURIComponent(upload_id)}`;
    this.file_tag = null;
  }
  /**
   * Say which file is coming. If bytes are stored already, the server compares: another file is
   * refused with `file_changed`.
   *
   * @param {File} file
   * @param {string | null} relative_path
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async announce(file, relative_path, signal) {
    const json = {
      filename: file.name,
      length: file.size,
      type: file.type,
      last_modified: file.lastModified,
      relative_path: relative_path ?? void 0
    };
    const view = read_view(await this.transport.call({ method: "POST", url: this.url, json, signal }));
    this.file_tag = view.file_tag;
    return view;
  }
  /**
   * With the tag of the announced file: should another page have announced another one since, its
   * bytes and these are not mixed.
   *
   * @param {import("./chunk.js").Chunk} chunk
   * @param {(bytes: number) => void} on_sent
   * @param {AbortSignal} signal
   * @returns {Promise<UploadView>}
   */
  async store({ range: [start, stop], length, body, digest: digest2 }, on_sent, signal) {
    const headers = {
      "Content-Type": "application/octet-stream",
      "Content-Range": `bytes ${start}-${stop - 1}/${length}`,
      "If-Match": `"${this.file_tag}"`
    };
    if (digest2 !== null) headers["Content-Digest"] = `sha-256=:${to_base64(digest2)}:`;
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
function read_view(answer2) {
  const { status, body } = answer2;
  if (status < 200 || status > 299) throw read_refusal(answer2);
  if (typeof body?.state !== "string" || !Array.isArray(body.received) || !(body.chunk_bytes > 0)) {
    throw new RequestFailure({ status, code: "bad_answer", message: "Somebody else answered in the server's place" });
  }
  return body;
}

// src/resumable.js
var GONE = ["unknown_upload", "upload_gone", "wrong_state"];
async function find_resumable(shared, make_uploader) {
  const { notebook, surroundings } = shared;
  const claims = await surroundings.find_claims();
  const found = await Promise.all(
    notebook.read().map(async (note) => {
      const view = await ask(shared, note);
      if (view !== null && (view === "gone" || !is_receiving(view))) {
        notebook.tear_out(note.url);
        return null;
      }
      const handle = await notebook.find_handle(note.url);
      return new ResumableUpload(shared, make_uploader, note, view, handle, claims.has(note.url));
    })
  );
  return found.filter((upload) => upload !== null);
}
async function ask({ transport }, { frontend_url, upload_id }) {
  try {
    return await new UploadResource(transport, frontend_url, upload_id).ask(new AbortController().signal);
  } catch (failure) {
    return GONE.includes(failure.code) ? "gone" : null;
  }
}
var _shared, _make_uploader, _note, _handle, _ResumableUpload_instances, read_handle_fn;
var ResumableUpload = class {
  /**
   * @param {Collaborators} shared
   * @param {MakeUploader} make_uploader
   * @param {Note} note
   * @param {UploadView | null} view
   * @param {any} handle
   * @param {boolean} in_another_tab
   */
  constructor(shared, make_uploader, note, view, handle, in_another_tab) {
    __privateAdd(this, _ResumableUpload_instances);
    __privateAdd(this, _shared);
    __privateAdd(this, _make_uploader);
    __privateAdd(this, _note);
    __privateAdd(this, _handle);
    __privateSet(this, _shared, shared);
    __privateSet(this, _make_uploader, make_uploader);
    __privateSet(this, _note, note);
    __privateSet(this, _handle, handle);
    this.upload_id = note.upload_id;
    this.filename = note.filename;
    this.relative_path = note.relative_path;
    this.bytes_total = note.length;
    this.bytes_acked = view && count_bytes(view.received);
    this.expires_at = view?.expires_at ? new Date(view.expires_at) : null;
    this.in_another_tab = in_another_tab;
    this.has_file_handle = handle !== null;
  }
  /** @param {File} file */
  matches(file) {
    const { filename, length, last_modified } = __privateGet(this, _note);
    return file.name === filename && file.size === length && file.lastModified === last_modified;
  }
  /** @param {File} [file] */
  async resume(file) {
    const chosen = file ?? await __privateMethod(this, _ResumableUpload_instances, read_handle_fn).call(this);
    if (!this.matches(chosen)) throw new WrongFile();
    return __privateGet(this, _make_uploader).call(this, __privateGet(this, _note), chosen, __privateGet(this, _handle));
  }
  /** @param {string} [reason] */
  async discard(reason = "Discarded by the user") {
    const { frontend_url, upload_id, url } = __privateGet(this, _note);
    const resource = new UploadResource(__privateGet(this, _shared).transport, frontend_url, upload_id);
    try {
      await resource.cancel(reason, new AbortController().signal);
    } catch (failure) {
      if (!(failure instanceof UploadFailure && GONE.includes(failure.code))) throw failure;
    }
    __privateGet(this, _shared).notebook.tear_out(url);
  }
};
_shared = new WeakMap();
_make_uploader = new WeakMap();
_note = new WeakMap();
_handle = new WeakMap();
_ResumableUpload_instances = new WeakSet();
read_handle_fn = async function() {
  const may = { mode: "read" };
  try {
    const is_allowed = await __privateGet(this, _handle).queryPermission?.(may) ?? "granted";
    if (is_allowed !== "granted" && await __privateGet(this, _handle).requestPermission(may) !== "granted") throw new Error();
    return await __privateGet(this, _handle).getFile();
  } catch {
    throw new FileUnreadable();
  }
};

// src/server_url.js
var CONVENTIONAL_PATH = "/incoming/frontend/";
function find_frontend_url({ script_url, page_url, hostname, server_url }) {
  if (server_url !== null) return new URL(`${server_url.replace(/\/+$/, "")}/frontend/`, page_url).href;
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

// src/slots.js
var _Slots_instances, admit_fn;
var Slots = class {
  /** @param {number} number */
  constructor(number) {
    __privateAdd(this, _Slots_instances);
    this.number = number;
    this.taken = 0;
    this.queue = [];
  }
  /**
   * Change how many there are. Fewer than are taken: none is given until enough have come back.
   *
   * @param {number} number
   */
  resize(number) {
    this.number = number;
    __privateMethod(this, _Slots_instances, admit_fn).call(this);
  }
  get is_full() {
    return this.taken >= this.number;
  }
  /**
   * Wait for a slot. Whoever gets one gives it back once, with the function that this resolves with.
   *
   * @param {AbortSignal} signal
   * @param {{ in_front?: boolean }} [options]
   * @returns {Promise<() => void>} calling it again does nothing; rejects with Aborted
   */
  take(signal, { in_front = false } = {}) {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new Aborted());
      const leave = () => {
        this.queue = this.queue.filter((other) => other !== enter);
        reject(new Aborted());
      };
      const enter = () => {
        signal.removeEventListener("abort", leave);
        this.taken += 1;
        let is_mine = true;
        resolve(() => {
          if (!is_mine) return;
          is_mine = false;
          this.taken -= 1;
          __privateMethod(this, _Slots_instances, admit_fn).call(this);
        });
      };
      signal.addEventListener("abort", leave);
      if (in_front) this.queue.unshift(enter);
      else this.queue.push(enter);
      __privateMethod(this, _Slots_instances, admit_fn).call(this);
    });
  }
};
_Slots_instances = new WeakSet();
admit_fn = function() {
  while (this.queue.length > 0 && !this.is_full) this.queue.shift()?.();
};

// src/surroundings.js
var browser = {
  page_url: () => location.href,
  set_timer: (callback, seconds) => setTimeout(callback, seconds * 1e3),
  clear_timer: (handle) => clearTimeout(handle),
  now_s: () => performance.now() / 1e3,
  random: () => Math.random(),
  on_wake(callback) {
    const when_visible = () => {
      if (document.visibilityState === "visible") callback();
    };
    addEventListener("online", callback);
    addEventListener("pageshow", callback);
    document.addEventListener("visibilitychange", when_visible);
    return () => {
      removeEventListener("online", callback);
      removeEventListener("pageshow", callback);
      document.removeEventListener("visibilitychange", when_visible);
    };
  },
  report(error) {
    setTimeout(() => {
      throw error;
    });
  },
  find_sha256: () => crypto.subtle ? (bytes) => crypto.subtle.digest("SHA-256", bytes) : null,
  claim(name, on_lost) {
    let let_go = () => {
    };
    let is_mine = true;
    const until_let_go = () => is_mine ? new Promise((resolve) => let_go = () => resolve(null)) : null;
    navigator.locks?.request(name, { steal: true }, until_let_go).catch((error) => {
      if (is_mine && error.name === "AbortError") on_lost();
    });
    return () => {
      is_mine = false;
      let_go();
    };
  },
  async find_claims() {
    const { held = [] } = await navigator.locks?.query().catch(() => null) ?? {};
    return new Set(held.map(({ name }) => name ?? ""));
  },
  storage() {
    try {
      return localStorage;
    } catch {
      return null;
    }
  },
  databases() {
    try {
      return indexedDB;
    } catch {
      return null;
    }
  }
};

// src/tickets.js
var TICKET = /^[\w-]{1,128}$/;
var LONGEST_WORDS = 300;
async function get_ticket(ticket, file, relative_path) {
  if (typeof ticket === "string") return ticket;
  let got;
  try {
    got = await ticket(file, relative_path);
  } catch (error) {
    if (error instanceof UploadFailure) {
      throw verdict(error) === "fatal" ? new NoTicket(error.message) : error;
    }
    if (error instanceof TypeError) throw new RequestFailure({ status: 0, code: "network_error", message: error.message });
    throw new NoTicket(error?.message);
  }
  if (typeof got !== "string" || got === "") throw new NoTicket();
  return got;
}
function tickets_from(transport, url) {
  return async (file, relative_path = file.webkitRelativePath) => {
    const form = new URLSearchParams({
      filename: file.name,
      length: String(file.size),
      type: file.type,
      relative_path: relative_path ?? ""
    });
    const { signal } = new AbortController();
    const answer2 = await transport.call({ method: "POST", url, form, signal });
    const { status, body } = answer2;
    const words = answer2.text.trim();
    if (status < 200 || status > 299) {
      const failure = read_refusal(answer2);
      const is_readable = body === null && words.length > 0 && words.length <= LONGEST_WORDS && !words.startsWith("<");
      if (is_readable) failure.message = words;
      throw failure;
    }
    const ticket = body?.ticket ?? body ?? words;
    if (typeof ticket !== "string" || !TICKET.test(ticket)) {
      throw new RequestFailure({ status, code: "bad_answer", message: "Somebody else answered in the application's place" });
    }
    return ticket;
  };
}

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
async function wait_or_wake(surroundings, seconds, signal) {
  const early = fork(signal);
  const forget = surroundings.on_wake(() => early.abort());
  try {
    await wait(surroundings, seconds, early.signal);
  } catch (error) {
    if (signal.aborted) throw error;
  } finally {
    forget();
    early.release();
  }
}
async function unless_aborted(promise, signal) {
  if (signal.aborted) throw new Aborted();
  let call_off = () => {
  };
  try {
    return await Promise.race([
      promise,
      new Promise((_, reject) => {
        call_off = () => reject(new Aborted());
        signal.addEventListener("abort", call_off);
      })
    ]);
  } finally {
    signal.removeEventListener("abort", call_off);
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
          headers: json === void 0 ? {} : { "Content-Type": "application/json" },
          body: json === void 0 ? form : JSON.stringify(json),
          cache: "no-store",
          signal: line.signal
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
          const answered = answer(xhr.status, xhr.getResponseHeader("Retry-After"), xhr.responseText);
          end(() => resolve(answered));
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
function answer(status, retry_after, text) {
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
  }
  return { status, retry_after, body, text };
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

// src/chunk.js
async function read_chunk(surroundings, file, range) {
  const body = file.slice(...range);
  return { range, length: file.size, body, digest: await digest(surroundings, body) };
}
async function check_unchanged(surroundings, chunk) {
  const now = await digest(surroundings, chunk.body);
  if (now === null) await read(chunk.body.slice(0, 1));
  else if (chunk.digest !== null && to_hex(now) !== to_hex(chunk.digest)) throw new FileUnreadable();
}
async function check_same_file(surroundings, file, stored) {
  const chunks = [...stored].sort((a, b) => a.start - b.start);
  const samples = [...chunks.splice(0, 1), ...chunks.splice(-1, 1)];
  for (let i = 0; i < 2; i++) samples.push(...chunks.splice(Math.floor(surroundings.random() * chunks.length), 1));
  for (const { start, stop, sha256 } of samples) {
    const own = await digest(surroundings, file.slice(start, stop));
    if (own !== null && to_hex(own) !== sha256) throw new WrongFile();
  }
}
async function digest(surroundings, blob) {
  const sha256 = surroundings.find_sha256();
  return sha256 && sha256(await read(blob));
}
async function read(blob) {
  try {
    return await blob.arrayBuffer();
  } catch {
    throw new FileUnreadable();
  }
}
var to_hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

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

// src/conversation.js
var FIRST_POLL_S = 0.2;
var LONGEST_POLL_S = 2;
var TELL_APP_WITHIN_S = 60;
async function deliver(means, listener, signal) {
  const { file, resource, pace, backoff, surroundings } = means;
  let view = await announce(means, signal);
  if (!listener.is_known && is_receiving(view) && view.received.length > 0 && surroundings.find_sha256()) {
    const { digests = [] } = await resource.ask(signal);
    await check_same_file(surroundings, file, digests);
  }
  const tally = new Tally(file.size, view.received);
  pace.suggest(view);
  listener.on_connected(tally, view);
  const polls = poll_intervals();
  while (!is_final(view)) {
    if (is_receiving(view) && tally.bytes_acked < tally.length) {
      try {
        await send_missing(means, tally, listener.on_change, signal);
      } catch (failure) {
        if (verdict(failure) !== "ask") throw failure;
        tally.drop_flights();
        listener.on_change();
        await wait(surroundings, backoff.next(), signal);
      }
    } else {
      listener.on_handover(view);
      await wait_or_wake(surroundings, polls.next().value, signal);
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
    await wait_or_wake(surroundings, polls.next().value, signal);
    view = await resource.ask(signal);
  }
  return view;
}
async function announce({ file, relative_path, resource }, signal) {
  const view = await or_ask(resource.announce(file, relative_path, signal), resource, signal);
  if (view.state !== "CANCELLED" && view.length !== null && view.length !== file.size) {
    throw new WrongFile();
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
async function send_missing(means, tally, on_change, signal) {
  const line = fork(signal);
  const lanes = /* @__PURE__ */ new Set();
  const failures = [];
  let is_all_taken = false;
  for (; ; ) {
    while (!is_all_taken && failures.length === 0 && lanes.size < means.pace.lanes) {
      const lane = send_next(means, tally, on_change, line).then((has_sent) => {
        is_all_taken || (is_all_taken = !has_sent);
      }).catch((failure) => {
        line.abort();
        failures.push(failure);
      }).finally(() => lanes.delete(lane));
      lanes.add(lane);
    }
    if (lanes.size === 0) break;
    await Promise.race(lanes);
  }
  line.release();
  if (failures.length > 0) throw failures.find((failure) => !(failure instanceof Aborted)) ?? failures[0];
}
async function send_next(means, tally, on_change, { signal, abort }) {
  const { file, resource, chunk_slots, pace, backoff, surroundings } = means;
  const give_back = await chunk_slots.take(signal);
  try {
    const flight = tally.take_off(pace.bytes);
    if (flight === null) return false;
    on_change();
    const chunk = await read_chunk(surroundings, file, flight.range);
    const on_sent = (bytes) => {
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
    pace.landed(bytes_of(chunk), surroundings.now_s() - sent_at_s);
  } finally {
    give_back();
  }
  backoff.reset();
  on_change();
  return true;
}
var bytes_of = ({ range: [start, stop] }) => stop - start;
async function learn(failure, chunk, { pace, surroundings }) {
  if (!(failure instanceof RequestFailure)) return;
  if (failure.status === 413) pace.refused(bytes_of(chunk), failure.max_chunk_bytes);
  if (is_too_slow(failure)) pace.failed(bytes_of(chunk));
  if (["network_error", "digest_mismatch"].includes(failure.code)) await check_unchanged(surroundings, chunk);
}
function* poll_intervals() {
  for (let seconds = FIRST_POLL_S; ; seconds = Math.min(seconds * 1.5, LONGEST_POLL_S)) yield seconds;
}

// src/destination.js
var _shared2, _assignment, _asked_ticket, _is_noted, _Destination_instances, use_fn;
var Destination = class {
  /**
   * @param {Collaborators} shared
   * @param {Assignment} assignment
   */
  constructor(shared, assignment) {
    __privateAdd(this, _Destination_instances);
    /** @type {UploadResource | null} */
    __publicField(this, "resource", null);
    __privateAdd(this, _shared2);
    __privateAdd(this, _assignment);
    /** @type {Promise<string> | null} */
    __privateAdd(this, _asked_ticket, null);
    __privateAdd(this, _is_noted, false);
    __privateSet(this, _shared2, shared);
    __privateSet(this, _assignment, assignment);
    if (typeof assignment.ticket === "string") __privateMethod(this, _Destination_instances, use_fn).call(this, assignment.ticket);
  }
  /**
   * The resource, for which a ticket is asked for if there is none.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<UploadResource>} rejects with UploadFailure, Aborted
   */
  async load_resource(signal) {
    if (this.resource !== null) return this.resource;
    const { ticket, file, relative_path } = __privateGet(this, _assignment);
    __privateGet(this, _asked_ticket) ?? __privateSet(this, _asked_ticket, get_ticket(ticket, file, relative_path));
    try {
      return __privateMethod(this, _Destination_instances, use_fn).call(this, await unless_aborted(__privateGet(this, _asked_ticket), signal));
    } catch (error) {
      if (!(error instanceof Aborted)) __privateSet(this, _asked_ticket, null);
      throw error;
    }
  }
  /**
   * The resource if there is one, or will be: a ticket that is on its way is waited for.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<UploadResource | null>} rejects with Aborted
   */
  async find_resource(signal) {
    if (this.resource !== null || __privateGet(this, _asked_ticket) === null) return this.resource;
    try {
      return __privateMethod(this, _Destination_instances, use_fn).call(this, await unless_aborted(__privateGet(this, _asked_ticket), signal));
    } catch (error) {
      if (error instanceof Aborted) throw error;
      return null;
    }
  }
  /** Note in the browser that this has been begun. */
  note() {
    const { file, frontend_url, relative_path, file_handle, remember } = __privateGet(this, _assignment);
    if (this.resource === null || __privateGet(this, _is_noted) || !remember) return;
    __privateSet(this, _is_noted, true);
    const { url, upload_id } = this.resource;
    const { name: filename, size: length, lastModified: last_modified } = file;
    const begun_at = Date.now();
    const { notebook } = __privateGet(this, _shared2);
    notebook.write({ url, frontend_url, upload_id, filename, relative_path, length, last_modified, begun_at });
    if (file_handle !== null) notebook.keep_handle(url, file_handle);
  }
  /** Nothing is left for a later page to do. */
  forget() {
    if (this.resource !== null && __privateGet(this, _assignment).remember) __privateGet(this, _shared2).notebook.tear_out(this.resource.url);
  }
};
_shared2 = new WeakMap();
_assignment = new WeakMap();
_asked_ticket = new WeakMap();
_is_noted = new WeakMap();
_Destination_instances = new WeakSet();
/** @param {string} ticket */
use_fn = function(ticket) {
  return this.resource ?? (this.resource = new UploadResource(__privateGet(this, _shared2).transport, __privateGet(this, _assignment).frontend_url, ticket));
};

// src/pace.js
var KIB = 1024;
var MIB = 1024 * KIB;
var START_BYTES = MIB;
var LARGEST_BYTES = 16 * MIB;
var SMALLEST_BYTES = 64 * KIB;
var SMALLEST_REFUSED_BYTES = KIB;
var QUICK_S = 3;
var SLOW_S = 8;
var FIRST_CAUTION = 16;
var _Pace_instances, shrink_fn;
var Pace = class {
  constructor() {
    __privateAdd(this, _Pace_instances);
    this.bytes = START_BYTES;
    this.lanes = 1;
    this.max_bytes = LARGEST_BYTES;
    this.max_lanes = 1;
    this.largest_landed = 0;
    this.caution = FIRST_CAUTION;
    this.chunks_without_growth = 0;
  }
  /**
   * Note what the server says on connection.
   *
   * @param {{ chunk_bytes: number, max_chunk_bytes: number, send_ahead: number }} view
   */
  suggest({ chunk_bytes, max_chunk_bytes, send_ahead }) {
    this.max_bytes = Math.min(this.max_bytes, max_chunk_bytes);
    this.bytes = Math.min(this.bytes, this.largest_landed === 0 ? chunk_bytes : Infinity, this.max_bytes);
    this.max_lanes = Math.max(1, send_ahead);
    this.lanes = Math.min(this.lanes, this.max_lanes);
  }
  /**
   * A chunk has arrived, `seconds` after it was sent off.
   *
   * Only one of the present size says something about that size.
   *
   * @param {number} bytes
   * @param {number} seconds
   */
  landed(bytes, seconds) {
    this.largest_landed = Math.max(this.largest_landed, bytes);
    if (bytes !== this.bytes) return;
    if (seconds > SLOW_S) {
      if (this.lanes > 1) this.lanes = 1;
      else __privateMethod(this, _Pace_instances, shrink_fn).call(this);
    } else if (this.chunks_without_growth > 0) {
      this.chunks_without_growth -= 1;
    } else if (seconds < QUICK_S) {
      this.bytes = Math.min(this.bytes * 2, this.max_bytes);
      this.lanes = Math.min(this.lanes + 1, this.max_lanes);
    }
  }
  /**
   * A chunk was lost on its way.
   *
   * @param {number} bytes
   */
  failed(bytes) {
    if (bytes > this.largest_landed && this.largest_landed > 0) {
      this.chunks_without_growth = this.caution;
      this.caution *= 4;
    }
    this.lanes = 1;
    __privateMethod(this, _Pace_instances, shrink_fn).call(this);
  }
  /**
   * A chunk of `bytes` is too large for the server, or for a proxy.
   *
   * @param {number} bytes
   * @param {number | null} limit_bytes where the answer names it
   */
  refused(bytes, limit_bytes) {
    const half = Math.max(SMALLEST_REFUSED_BYTES, Math.floor(bytes / 2));
    this.max_bytes = Math.min(this.max_bytes, limit_bytes !== null && limit_bytes < bytes ? limit_bytes : half);
    this.bytes = Math.min(this.bytes, this.max_bytes);
  }
};
_Pace_instances = new WeakSet();
shrink_fn = function() {
  this.bytes = Math.min(this.max_bytes, Math.max(SMALLEST_BYTES, Math.floor(this.bytes / 2)));
};

// src/speed.js
var WINDOW_S = 30;
var _Speed_instances, forget_fn;
var Speed = class {
  constructor() {
    __privateAdd(this, _Speed_instances);
    this.notes = [];
  }
  /** Begin anew: what was stored before is no measure of this connection. */
  reset() {
    this.notes = [];
  }
  /**
   * @param {number} at_s
   * @param {number} bytes stored so far
   */
  note(at_s, bytes) {
    if (this.notes.at(-1)?.bytes === bytes) return;
    __privateMethod(this, _Speed_instances, forget_fn).call(this, at_s);
    this.notes.push({ at_s, bytes });
  }
  /**
   * @param {number} at_s
   * @returns {number | null} null as long as nothing has arrived on this connection
   */
  bytes_per_s(at_s) {
    __privateMethod(this, _Speed_instances, forget_fn).call(this, at_s);
    const [first] = this.notes;
    const last = this.notes.at(-1);
    if (first === void 0 || last === void 0 || at_s <= first.at_s) return null;
    if (last !== first) return (last.bytes - first.bytes) / (at_s - first.at_s);
    return at_s - first.at_s > WINDOW_S ? 0 : null;
  }
};
_Speed_instances = new WeakSet();
/**
 * All but the last note before the window, from which its first bytes are counted.
 *
 * @param {number} at_s
 */
forget_fn = function(at_s) {
  while (this.notes.length > 1 && this.notes[1].at_s <= at_s - WINDOW_S) this.notes.shift();
};

// src/course.js
var CANCELLED_BY_PAGE = "Cancelled by the user";
var IN_ANOTHER_TAB = { code: "in_another_tab", message: "This upload goes on in another tab or window" };
var _task, _backoff, _pace, _destination, _Course_instances, pause_fn, deliver_fn, wait_for_turn_fn, cancel_fn, persevere_fn, retry_fn, call_off_fn, disconnect_fn, unless_fn, on_connected_fn, on_change_fn, on_handover_fn, settle_fn, give_up_fn, end_cancelled_fn, fail_fn, over_fn;
var Course = class {
  /**
   * @param {Collaborators} shared
   * @param {Assignment} assignment
   * @param {(what: "progress" | "finished" | "cancelled" | "error") => void} tell
   */
  constructor(shared, assignment, tell) {
    __privateAdd(this, _Course_instances);
    /** @type {Phase} */
    __publicField(this, "phase", "new");
    __publicField(this, "is_queued", false);
    __publicField(this, "connected", false);
    __publicField(this, "is_announced", false);
    /** @type {Trouble | null} */
    __publicField(this, "trouble", null);
    /** @type {string | null} */
    __publicField(this, "cancel_msg", null);
    /** @type {UploadFailure | null} how it came to nothing */
    __publicField(this, "failure", null);
    __publicField(this, "speed", new Speed());
    __privateAdd(this, _task, new AbortController());
    __privateAdd(this, _backoff);
    __privateAdd(this, _pace, new Pace());
    __privateAdd(this, _destination);
    this.shared = shared;
    this.assignment = assignment;
    this.tell = tell;
    this.tally = new Tally(assignment.file.size, []);
    __privateSet(this, _backoff, new Backoff(shared.surroundings.random));
    __privateSet(this, _destination, new Destination(shared, assignment));
  }
  /** @returns {string | null} */
  get upload_id() {
    return __privateGet(this, _destination).resource?.upload_id ?? null;
  }
  get is_complete() {
    return this.is_announced && this.tally.bytes_acked === this.tally.length;
  }
  get is_all_sent() {
    return this.is_announced && this.tally.bytes_tx === this.tally.length;
  }
  get bytes_per_s() {
    return this.connected ? this.speed.bytes_per_s(this.shared.surroundings.now_s()) : null;
  }
  /** Begin, or go on after a pause. */
  upload() {
    this.phase = "uploading";
    this.trouble = null;
    __privateGet(this, _backoff).reset();
    const { surroundings } = this.shared;
    let let_go = null;
    __privateMethod(this, _Course_instances, persevere_fn).call(this, (signal) => __privateMethod(this, _Course_instances, deliver_fn).call(this, signal, ({ url }) => {
      let_go ?? (let_go = surroundings.claim(url, () => __privateMethod(this, _Course_instances, unless_fn).call(this, signal, () => __privateMethod(this, _Course_instances, pause_fn).call(this, IN_ANOTHER_TAB))));
    })).finally(() => let_go?.());
    this.tell("progress");
  }
  pause() {
    __privateMethod(this, _Course_instances, pause_fn).call(this, null);
  }
  /** @param {string | undefined} reason */
  cancel(reason) {
    const text = String(reason ?? CANCELLED_BY_PAGE);
    __privateMethod(this, _Course_instances, call_off_fn).call(this);
    this.phase = "cancelling";
    this.trouble = null;
    this.cancel_msg = text;
    __privateMethod(this, _Course_instances, persevere_fn).call(this, (signal) => __privateMethod(this, _Course_instances, cancel_fn).call(this, text, signal));
    this.tell("progress");
  }
};
_task = new WeakMap();
_backoff = new WeakMap();
_pace = new WeakMap();
_destination = new WeakMap();
_Course_instances = new WeakSet();
/** @param {Trouble | null} trouble that somebody has to do something about before it can go on */
pause_fn = function(trouble) {
  __privateMethod(this, _Course_instances, call_off_fn).call(this);
  this.connected = false;
  this.phase = "paused";
  this.cancel_msg = null;
  this.trouble = trouble;
  this.tell("progress");
};
deliver_fn = async function(signal, claim) {
  const { chunk_slots, surroundings } = this.shared;
  const { file, relative_path } = this.assignment;
  const give_back = this.is_complete ? () => {
  } : await __privateMethod(this, _Course_instances, wait_for_turn_fn).call(this, signal);
  try {
    const resource = await __privateGet(this, _destination).load_resource(signal);
    claim(resource);
    return await deliver(
      { file, relative_path, resource, chunk_slots, pace: __privateGet(this, _pace), backoff: __privateGet(this, _backoff), surroundings },
      {
        is_known: this.is_announced,
        on_connected: (tally, view) => __privateMethod(this, _Course_instances, unless_fn).call(this, signal, () => __privateMethod(this, _Course_instances, on_connected_fn).call(this, tally, view)),
        on_change: () => __privateMethod(this, _Course_instances, unless_fn).call(this, signal, () => __privateMethod(this, _Course_instances, on_change_fn).call(this)),
        on_handover: (view) => {
          give_back();
          __privateMethod(this, _Course_instances, unless_fn).call(this, signal, () => __privateMethod(this, _Course_instances, on_handover_fn).call(this, view));
        }
      },
      signal
    );
  } finally {
    give_back();
  }
};
wait_for_turn_fn = async function(signal) {
  const { file_slots } = this.shared;
  this.is_queued = file_slots.is_full;
  if (this.is_queued) this.tell("progress");
  try {
    return await file_slots.take(signal, { in_front: this.is_announced });
  } finally {
    this.is_queued = false;
  }
};
cancel_fn = async function(reason, signal) {
  const resource = await __privateGet(this, _destination).find_resource(signal);
  return resource && cancel({ resource, surroundings: this.shared.surroundings }, reason, signal);
};
persevere_fn = async function(converse) {
  __privateSet(this, _task, new AbortController());
  const { signal } = __privateGet(this, _task);
  try {
    const view = await __privateMethod(this, _Course_instances, retry_fn).call(this, converse, signal);
    __privateMethod(this, _Course_instances, unless_fn).call(this, signal, () => __privateMethod(this, _Course_instances, settle_fn).call(this, view));
  } catch (error) {
    __privateMethod(this, _Course_instances, unless_fn).call(this, signal, () => __privateMethod(this, _Course_instances, give_up_fn).call(this, error));
  }
};
retry_fn = async function(converse, signal) {
  const { surroundings } = this.shared;
  for (; ; ) {
    try {
      return await converse(signal);
    } catch (failure) {
      const next = verdict(failure);
      if (signal.aborted || next === "fatal" || next === "refused") throw failure;
      __privateMethod(this, _Course_instances, disconnect_fn).call(this);
      this.trouble = failure;
      this.tell("progress");
      const pause_s = __privateGet(this, _backoff).next();
      await wait(surroundings, failure.retry_after_s, signal);
      await wait_or_wake(surroundings, Math.max(pause_s - failure.retry_after_s, 0), signal);
    }
  }
};
/** Stop whatever is under way, without a word to the page. */
call_off_fn = function() {
  __privateGet(this, _task).abort();
  this.tally.drop_flights();
};
disconnect_fn = function() {
  this.connected = false;
  this.tally.drop_flights();
};
/**
 * @param {AbortSignal} signal
 * @param {() => void} action
 */
unless_fn = function(signal, action) {
  if (!signal.aborted) action();
};
// what is heard on a connection
/**
 * @param {Tally} tally
 * @param {UploadView} view
 */
on_connected_fn = function(tally, view) {
  if (tally.bytes_acked > this.tally.bytes_acked) __privateGet(this, _backoff).reset();
  this.connected = this.is_announced = true;
  this.trouble = null;
  this.tally = tally;
  this.speed.reset();
  if (is_receiving(view) && !this.is_complete) __privateGet(this, _destination).note();
  __privateMethod(this, _Course_instances, on_change_fn).call(this);
};
on_change_fn = function() {
  this.speed.note(this.shared.surroundings.now_s(), this.tally.bytes_acked);
  this.tell("progress");
};
/** @param {UploadView} view */
on_handover_fn = function({ state, reason }) {
  __privateGet(this, _destination).forget();
  const is_waiting = reason !== null && (state === "COMPLETE" || state === "HANDING_OVER");
  const message = is_waiting ? reason : null;
  if (message === (this.trouble?.message ?? null)) return;
  this.trouble = message === null ? null : { code: "app_waits", message };
  this.tell("progress");
};
// ends
/** @param {UploadView | null} view what a conversation came to */
settle_fn = function(view) {
  if (view === null) return __privateMethod(this, _Course_instances, end_cancelled_fn).call(this, null);
  switch (view.state) {
    case "FINISHED":
      __privateMethod(this, _Course_instances, over_fn).call(this, "finished");
      this.tell("progress");
      this.tell("finished");
      this.connected = false;
      return this.tell("progress");
    case "CANCELLED":
      return __privateMethod(this, _Course_instances, end_cancelled_fn).call(this, view.reason);
    case "FAILED":
      return __privateMethod(this, _Course_instances, fail_fn).call(this, new HandoverFailure(view.reason));
    default:
      this.cancel_msg = null;
      this.is_announced = true;
      this.tally = new Tally(this.assignment.file.size, view.received);
      return this.upload();
  }
};
/** @param {any} error */
give_up_fn = function(error) {
  if (verdict(error) === "refused") return __privateMethod(this, _Course_instances, pause_fn).call(this, error);
  if (this.phase === "cancelling" && error.code === "unknown_upload") return __privateMethod(this, _Course_instances, end_cancelled_fn).call(this, null);
  if (error instanceof UploadFailure) return __privateMethod(this, _Course_instances, fail_fn).call(this, error);
  this.shared.surroundings.report(error);
  __privateMethod(this, _Course_instances, fail_fn).call(this, new UploadFailure("internal_error", error.message));
};
/** @param {string | null} reason of the server, for a cancel that the page did not ask for */
end_cancelled_fn = function(reason) {
  this.cancel_msg ?? (this.cancel_msg = reason ?? "Cancelled by the server");
  this.failure = new Cancelled(this.cancel_msg);
  __privateMethod(this, _Course_instances, over_fn).call(this, "cancelled");
  __privateMethod(this, _Course_instances, disconnect_fn).call(this);
  this.tell("progress");
  this.tell("cancelled");
};
/** @param {UploadFailure} failure */
fail_fn = function(failure) {
  this.failure = failure;
  if (failure.code === "file_unreadable" || failure.code === "file_changed") this.phase = "failed";
  else __privateMethod(this, _Course_instances, over_fn).call(this, "failed");
  __privateMethod(this, _Course_instances, disconnect_fn).call(this);
  this.trouble = null;
  this.tell("progress");
  this.tell("error");
};
/** @param {Phase} phase in which nothing is left to do */
over_fn = function(phase) {
  this.phase = phase;
  this.trouble = null;
  __privateGet(this, _destination).forget();
};

// src/uploader.js
var _course, _file, _report, _resolve, _reject, _Uploader_instances, tell_fn;
var Uploader = class extends EventTarget {
  /**
   * @param {Collaborators} shared
   * @param {Assignment} assignment
   */
  constructor(shared, assignment) {
    super();
    __privateAdd(this, _Uploader_instances);
    __privateAdd(this, _course);
    __privateAdd(this, _file);
    __privateAdd(this, _report);
    __privateAdd(this, _resolve, (_) => {
    });
    __privateAdd(this, _reject, (_) => {
    });
    /** @type {Callback} */
    __publicField(this, "onprogress", null);
    /** @type {Callback} */
    __publicField(this, "onfinished", null);
    /** @type {Callback} */
    __publicField(this, "oncancelled", null);
    /** @type {Callback} */
    __publicField(this, "onerror", null);
    /** @type {Promise<PublicUploader>} */
    __publicField(this, "done", new Promise((resolve, reject) => {
      __privateSet(this, _resolve, resolve);
      __privateSet(this, _reject, reject);
    }));
    __privateSet(this, _file, assignment.file);
    __privateSet(this, _report, shared.surroundings.report);
    __privateSet(this, _course, new Course(shared, assignment, (what) => __privateMethod(this, _Uploader_instances, tell_fn).call(this, what)));
    this.done.catch(() => {
    });
  }
  get upload_id() {
    return __privateGet(this, _course).upload_id;
  }
  get filename() {
    return __privateGet(this, _file).name;
  }
  get relative_path() {
    return __privateGet(this, _course).assignment.relative_path;
  }
  get bytes_total() {
    return __privateGet(this, _file).size;
  }
  get bytes_tx() {
    return __privateGet(this, _course).tally.bytes_tx;
  }
  get bytes_acked() {
    return __privateGet(this, _course).tally.bytes_acked;
  }
  get bytes_ahead() {
    return this.bytes_tx - this.bytes_acked;
  }
  get frac_complete() {
    return this.bytes_total === 0 ? 1 : this.bytes_acked / this.bytes_total;
  }
  get chunks_tx_now() {
    return __privateGet(this, _course).tally.chunks_tx;
  }
  get chunks_acked_now() {
    return __privateGet(this, _course).tally.chunks_acked;
  }
  get chunks_ahead() {
    return this.chunks_tx_now - this.chunks_acked_now;
  }
  get bytes_per_s() {
    return __privateGet(this, _course).bytes_per_s;
  }
  get seconds_left() {
    const speed = this.bytes_per_s;
    return speed === null || speed === 0 ? null : (this.bytes_total - this.bytes_acked) / speed;
  }
  get phase() {
    const { phase, is_queued, is_complete, connected } = __privateGet(this, _course);
    if (phase !== "uploading") return phase;
    if (is_complete) return "handing_over";
    return is_queued ? "queued" : connected ? "uploading" : "connecting";
  }
  get connected() {
    return __privateGet(this, _course).connected;
  }
  get finished() {
    return this.phase === "finished";
  }
  get paused() {
    return this.phase === "paused";
  }
  get can_pause() {
    const { phase, is_all_sent } = __privateGet(this, _course);
    return phase === "paused" || phase === "uploading" && !is_all_sent;
  }
  get cancelling() {
    return this.phase === "cancelling";
  }
  get cancelled() {
    return this.phase === "cancelled" || this.phase === "failed";
  }
  get can_cancel() {
    return this.phase === "new" || this.can_pause;
  }
  get handing_over() {
    return this.phase === "handing_over";
  }
  get state_msg() {
    const { trouble, connected } = __privateGet(this, _course);
    switch (this.phase) {
      case "new":
        return "Not started";
      case "queued":
        return "Waiting for its turn";
      case "connecting":
        return trouble === null ? "Connecting" : `Trying again: ${trouble.message}`;
      case "uploading":
        return "Uploading";
      case "handing_over":
        if (!connected && trouble !== null) return `Trying again: ${trouble.message}`;
        return trouble === null ? "Waiting for the application" : `Waiting for the application: ${trouble.message}`;
      case "paused":
        return trouble === null ? "Paused" : `Paused: ${trouble.message}`;
      case "cancelling":
        return trouble === null ? "Cancelling" : `Cancelling: ${trouble.message}`;
      case "finished":
        return "Finished";
      case "cancelled":
        return "Cancelled";
      case "failed":
        return "Failed";
    }
  }
  get cancel_msg() {
    return __privateGet(this, _course).cancel_msg;
  }
  get error_code() {
    return this.phase === "failed" ? __privateGet(this, _course).failure?.code ?? null : null;
  }
  get error_msg() {
    return this.phase === "failed" ? __privateGet(this, _course).failure?.message ?? null : null;
  }
  get trouble_code() {
    return __privateGet(this, _course).trouble?.code ?? null;
  }
  get trouble_msg() {
    return __privateGet(this, _course).trouble?.message ?? null;
  }
  /** Begin. A second call does nothing. */
  start() {
    if (this.phase === "new") __privateGet(this, _course).upload();
    return this;
  }
  /**
   * Stop sending, or go on. Does nothing while `can_pause` is false.
   *
   * @param {"pause" | "unpause" | "toggle"} what
   */
  pause(what) {
    if (!["pause", "unpause", "toggle"].includes(what)) {
      throw new TypeError(`pause() takes "pause", "unpause" or "toggle", not ${what}`);
    }
    if (this.paused) {
      if (what !== "pause") __privateGet(this, _course).upload();
    } else if (this.can_pause && what !== "unpause") {
      __privateGet(this, _course).pause();
    }
    return this;
  }
  /**
   * End the upload without delivery, as long as the handover has not begun. After the last byte
   * was sent, when `can_cancel` is false, it is tried all the same, and may come too late.
   *
   * @param {string} [reason] for the app
   */
  cancel(reason) {
    if (["new", "uploading", "paused"].includes(__privateGet(this, _course).phase)) __privateGet(this, _course).cancel(reason);
    return this;
  }
};
_course = new WeakMap();
_file = new WeakMap();
_report = new WeakMap();
_resolve = new WeakMap();
_reject = new WeakMap();
_Uploader_instances = new WeakSet();
/**
 * Tell the page. Its mistakes are its own and must not stop the upload.
 *
 * @param {"progress" | "finished" | "cancelled" | "error"} what
 */
tell_fn = function(what) {
  if (what === "finished") __privateGet(this, _resolve).call(this, this);
  if (what === "cancelled" || what === "error") __privateGet(this, _reject).call(this, __privateGet(this, _course).failure);
  try {
    this[`on${what}`]?.(this);
  } catch (error) {
    __privateGet(this, _report).call(this, error);
  }
  this.dispatchEvent(new Event(what));
};

// src/library.js
function create_library(script_url) {
  const configuration = { server_url: null, files_at_once: 3, chunks_at_once: 4, remember: true };
  let hostname = null;
  const shared = {
    transport: create_transport(browser),
    file_slots: new Slots(configuration.files_at_once),
    chunk_slots: new Slots(configuration.chunks_at_once),
    notebook: new Notebook(browser),
    surroundings: browser
  };
  function configure2(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (!is_possible(name, value)) throw new TypeError(`configure() takes no ${name}: ${JSON.stringify(value)}`);
    }
    Object.assign(configuration, changes);
    shared.file_slots.resize(configuration.files_at_once);
    shared.chunk_slots.resize(configuration.chunks_at_once);
  }
  function set_server_hostname2(host) {
    if (typeof host !== "string" || !/^[^/?#@\s]+$/.test(host)) {
      throw new TypeError(`set_server_hostname() takes host[:port], not ${host}`);
    }
    hostname = host;
  }
  function make_uploader(ticket, file, { relative_path, file_handle } = {}) {
    if (typeof file?.name !== "string" || typeof file.slice !== "function") {
      throw new TypeError("incoming.Uploader needs a File as its second argument");
    }
    if (typeof ticket !== "function" && (typeof ticket !== "string" || ticket === "")) {
      throw new TypeError("incoming.Uploader needs a ticket, or a function that gets one, as its first argument");
    }
    const { server_url } = configuration;
    return new Uploader(shared, {
      frontend_url: find_frontend_url({ script_url, page_url: browser.page_url(), hostname, server_url }),
      ticket,
      file,
      relative_path: (relative_path ?? file.webkitRelativePath) || null,
      file_handle: file_handle ?? null,
      remember: configuration.remember
    });
  }
  make_uploader.prototype = Uploader.prototype;
  const resume = ({ frontend_url, upload_id, relative_path }, file, file_handle) => new Uploader(shared, { frontend_url, ticket: upload_id, file, relative_path, file_handle, remember: configuration.remember });
  return {
    Uploader: (
      /** @type {any} */
      make_uploader
    ),
    configure: configure2,
    resumable: () => find_resumable(shared, resume),
    set_server_hostname: set_server_hostname2,
    tickets_from: (url) => tickets_from(shared.transport, url)
  };
}
function is_possible(name, value) {
  switch (name) {
    case "server_url":
      return value === null || typeof value === "string" && value !== "";
    case "files_at_once":
    case "chunks_at_once":
      return Number.isInteger(value) && Number(value) >= 1;
    case "remember":
      return typeof value === "boolean";
    default:
      return false;
  }
}

// src/module.js
var { Uploader: Uploader2, configure, resumable, set_server_hostname, tickets_from: tickets_from2 } = create_library(import.meta.url);
export {
  Uploader2 as Uploader,
  configure,
  resumable,
  set_server_hostname,
  tickets_from2 as tickets_from
};
