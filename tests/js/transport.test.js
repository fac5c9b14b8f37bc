/** HTTP as the library speaks it: requests on the wire, time-outs, answers read. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Aborted, RequestFailure } from "../../static/src/errors.js";
import { create_transport } from "../../static/src/transport.js";
import { UploadResource } from "../../static/src/upload_resource.js";
import { FakeFile, FakeSurroundings, settle } from "./fakes.js";

const BASE = "http://host/incoming/frontend/";
const VIEW = {
  state: "UPLOADING",
  file_tag: "0123456789abcdef",
  received: [[0, 4]],
  chunk_bytes: 4,
  max_chunk_bytes: 8,
  send_ahead: 2,
};

const CHUNK = { range: [4, 8], length: 10, body: new FakeFile(10).slice(4, 8), sha256: null };

class FakeXhr {
  static all = [];

  constructor() {
    FakeXhr.all.push(this);
    this.upload = {};
    this.headers = {};
    this.aborted = false;
    this.answer_headers = {};
  }

  open(method, url) {
    Object.assign(this, { method, url });
  }

  setRequestHeader(name, value) {
    this.headers[name] = value;
  }

  getResponseHeader(name) {
    return this.answer_headers[name] ?? null;
  }

  send(body) {
    this.body = body;
  }

  abort() {
    this.aborted = true;
  }

  answer(status, text) {
    Object.assign(this, { status, responseText: text });
    this.onload();
  }
}

const originals = { XMLHttpRequest: globalThis.XMLHttpRequest, fetch: globalThis.fetch };
let surroundings, transport, resource, controller, fetched, fetch_answer;

beforeEach(() => {
  FakeXhr.all = [];
  fetched = [];
  fetch_answer = async () => new Response(JSON.stringify(VIEW));
  globalThis.XMLHttpRequest = FakeXhr;
  globalThis.fetch = (url, options) => {
    fetched.push({ url, ...options });
    return fetch_answer(options);
  };
  surroundings = new FakeSurroundings();
  transport = create_transport(surroundings);
  resource = new UploadResource(transport, BASE, "a/ticket");
  controller = new AbortController();
});

afterEach(() => {
  Object.assign(globalThis, originals);
  assert.equal(surroundings.timers.size, 0, "no timer is left behind");
});

const when_aborted = ({ signal }) =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(new DOMException("", "AbortError"))));

/** Wait for a promise to be settled, to look at it later. */
const outcome = (promise) => promise.then((value) => ({ value }), (error) => ({ error }));

test("a file is announced with what the server compares", async () => {
  await resource.announce(new FakeFile(10), null, controller.signal);
  const [{ url, method, headers, body }] = fetched;
  assert.deepEqual([method, url], ["POST", `${BASE}uploads/a%2Fticket`]);
  assert.equal(headers["Content-Type"], "application/json");
  assert.deepEqual(JSON.parse(body), {
    filename: "report.pdf",
    length: 10,
    type: "application/pdf",
    last_modified: 1700000000123,
  });
});

test("a question is answered by the server, never by a cache", async () => {
  assert.deepEqual(await resource.ask(controller.signal), VIEW);
  assert.deepEqual([fetched[0].method, fetched[0].cache, fetched[0].body], ["GET", "no-store", undefined]);
});

test("any text can be the reason of a cancel", async () => {
  const reason = "50% & more = \u{1F600} \ud800";
  await resource.cancel(reason, controller.signal);
  assert.equal(fetched[0].method, "DELETE");
  assert.equal(new URL(fetched[0].url).searchParams.get("reason"), "50% & more = \u{1F600} \ufffd");
});

test("the longest reason fits into a URL of 8 KB", async () => {
  await resource.cancel("\u{1F600}".repeat(5000), controller.signal);
  assert.ok(fetched[0].url.length < 8000);
});

test("a chunk names its file and its place in inclusive positions and is a slice of the file", async () => {
  await resource.announce(new FakeFile(10), null, controller.signal);
  const stored = resource.store(CHUNK, () => {}, controller.signal);
  const [xhr] = FakeXhr.all;
  assert.deepEqual([xhr.method, xhr.url], ["PUT", `${BASE}uploads/a%2Fticket`]);
  assert.deepEqual(xhr.headers, {
    "Content-Type": "application/octet-stream",
    "Content-Range": "bytes 4-7/10",
    "If-Match": '"0123456789abcdef"',
  });
  assert.deepEqual(xhr.body.bytes, new FakeFile(10).bytes.slice(4, 8));
  xhr.answer(200, JSON.stringify(VIEW));
  assert.deepEqual(await stored, VIEW);
});

test("a folder's file is announced with its place in it", async () => {
  await resource.announce(new FakeFile(10), "holiday/day 1/report.pdf", controller.signal);
  assert.equal(JSON.parse(fetched[0].body).relative_path, "holiday/day 1/report.pdf");
});

test("a chunk carries its SHA-256 where the browser has it", () => {
  // of "abc", from FIPS 180-2
  const hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  outcome(resource.store({ ...CHUNK, sha256: hex }, () => {}, controller.signal));
  assert.equal(FakeXhr.all[0].headers["Content-Digest"], "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:");
  controller.abort();
});

test("progress of a chunk is told as it happens", () => {
  const told = [];
  outcome(resource.store(CHUNK, (bytes) => told.push(bytes), controller.signal));
  const [xhr] = FakeXhr.all;
  xhr.upload.onprogress({ loaded: 1 });
  xhr.upload.onprogress({ loaded: 4 });
  assert.deepEqual(told, [1, 4]);
  controller.abort();
});

test("a chunk without progress for 30 s is given up", async () => {
  const stored = outcome(resource.store(CHUNK, () => {}, controller.signal));
  const [xhr] = FakeXhr.all;
  await surroundings.advance(29);
  xhr.upload.onprogress({ loaded: 1 });
  await surroundings.advance(29);
  assert.equal(xhr.aborted, false, "progress begins the time anew");
  await surroundings.advance(2);
  assert.equal(xhr.aborted, true);
  const { error } = await stored;
  assert.deepEqual([error.status, error.code], [0, "stalled"]);
});

test("a small call without an answer for 30 s is given up", async () => {
  fetch_answer = when_aborted;
  const asked = outcome(resource.ask(controller.signal));
  await surroundings.advance(29);
  assert.equal(fetched[0].signal.aborted, false);
  await surroundings.advance(2);
  assert.equal(fetched[0].signal.aborted, true);
  assert.equal((await asked).error.code, "stalled");
});

test("a chunk that is called off is aborted and tells nothing more", async () => {
  const told = [];
  const stored = outcome(resource.store(CHUNK, (bytes) => told.push(bytes), controller.signal));
  const [xhr] = FakeXhr.all;
  controller.abort();
  assert.ok((await stored).error instanceof Aborted);
  assert.equal(xhr.aborted, true);
  assert.deepEqual([xhr.onload, xhr.onerror, xhr.upload.onprogress], [null, null, null]);
});

test("a small call that is called off is aborted", async () => {
  fetch_answer = when_aborted;
  const asked = outcome(resource.ask(controller.signal));
  controller.abort();
  assert.ok((await asked).error instanceof Aborted);
});

test("what is called off beforehand is not sent", async () => {
  controller.abort();
  assert.ok((await outcome(resource.store(CHUNK, () => {}, controller.signal))).error instanceof Aborted);
  assert.deepEqual(FakeXhr.all, []);
});

test("a request that fails without an answer has status 0", async () => {
  const stored = outcome(resource.store(CHUNK, () => {}, controller.signal));
  FakeXhr.all[0].onerror();
  fetch_answer = async () => {
    throw new TypeError("Failed to fetch");
  };
  const asked = outcome(resource.ask(controller.signal));
  for (const { error } of [await stored, await asked]) {
    assert.ok(error instanceof RequestFailure);
    assert.deepEqual([error.status, error.code], [0, "network_error"]);
  }
});

test("a connection that is closed without an answer is none, though Firefox says load", async () => {
  const stored = outcome(resource.store(CHUNK, () => {}, controller.signal));
  FakeXhr.all[0].answer(0, "");
  const { error } = await stored;
  assert.deepEqual([error.status, error.code], [0, "network_error"]);
});

function answer_with(status, body, headers = {}) {
  fetch_answer = async () => new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
}

async function failure() {
  return (await outcome(resource.ask(controller.signal))).error;
}

test("a refusal of the server carries its code, its words and its limits", async () => {
  answer_with(413, { status: 413, code: "chunk_too_large", title: "Chunk too large", detail: "At most 8 bytes", max_chunk_bytes: 8 });
  const { status, code, message, max_chunk_bytes, retry_after_s } = await failure();
  assert.deepEqual(
    { status, code, message, max_chunk_bytes, retry_after_s },
    { status: 413, code: "chunk_too_large", message: "At most 8 bytes", max_chunk_bytes: 8, retry_after_s: 0 },
  );
});

test("a refusal of a chunk carries its Retry-After", async () => {
  const stored = outcome(resource.store(CHUNK, () => {}, controller.signal));
  const [xhr] = FakeXhr.all;
  xhr.answer_headers["Retry-After"] = "7";
  xhr.answer(503, "busy");
  assert.equal((await stored).error.retry_after_s, 7);
});

test("a refusal of a proxy has a code and words all the same", async () => {
  answer_with(502, "<h1>Bad Gateway</h1>");
  const { status, code, message } = await failure();
  assert.deepEqual([status, code, message], [502, "http_502", "The server answered with status 502"]);
});

for (const [header, low_s, high_s] of [
  ["120", 120, 120],
  ["0", 0, 0],
  ["99999999999", 3600, 3600],
  ["soon", 0, 0],
  ["-5", 0, 0],
  ["Wed, 21 Oct 2015 07:28:00 GMT", 0, 0],
  [new Date(Date.now() + 60_000).toUTCString(), 57, 61],
]) {
  test(`Retry-After: ${header} is ${low_s} s`, async () => {
    answer_with(503, "", { "Retry-After": header });
    const { retry_after_s } = await failure();
    assert.ok(retry_after_s >= low_s && retry_after_s <= high_s, `${retry_after_s}`);
  });
}

for (const body of ["<h1>Welcome to our hotel</h1>", "", "null", "[]", "{}", { state: "UPLOADING" }, { ...VIEW, chunk_bytes: 0 }]) {
  test(`a 200 with ${JSON.stringify(body)} is not an answer of the server`, async () => {
    answer_with(200, body);
    assert.equal((await failure()).code, "bad_answer");
  });
}

test("an answer that arrives as the call is called off settles it once", async () => {
  const stored = outcome(resource.store(CHUNK, () => {}, controller.signal));
  FakeXhr.all[0].answer(200, JSON.stringify(VIEW));
  controller.abort();
  await settle();
  assert.deepEqual((await stored).value, VIEW);
});
