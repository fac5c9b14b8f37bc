import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../../static/src/backoff.js";
import { ChunkSize } from "../../static/src/chunk_size.js";
import { Aborted, FileUnreadable, RequestFailure, verdict } from "../../static/src/errors.js";
import { find_frontend_url } from "../../static/src/server_url.js";
import { Slots } from "../../static/src/slots.js";
import { settle } from "./fakes.js";

const KIB = 1024;
const MIB = 1024 * 1024;

test("waits double from half a second to a minute", () => {
  const backoff = new Backoff(() => 0.999999);
  const waits_s = Array.from({ length: 10 }, () => Math.round(backoff.next() * 10) / 10);
  assert.deepEqual(waits_s, [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
});

test("waits are spread over the whole interval, from nothing", () => {
  assert.equal(new Backoff(() => 0).next(), 0);
  assert.equal(new Backoff(() => 0.5).next(), 0.25);
});

test("progress makes the next wait short again", () => {
  const backoff = new Backoff(() => 0.5);
  for (let i = 0; i < 8; i++) backoff.next();
  backoff.reset();
  assert.equal(backoff.next(), 0.25);
});

test("a wait stays a number after a night of failures", () => {
  const backoff = new Backoff(() => 0.5);
  for (let i = 0; i < 5000; i++) backoff.next();
  assert.equal(backoff.next(), 30);
});

function chunk_size(chunk_bytes = MIB, max_chunk_bytes = 16 * MIB) {
  const size = new ChunkSize();
  size.suggest({ chunk_bytes, max_chunk_bytes });
  return size;
}

test("the first chunk has the size that the server suggests, within its maximum", () => {
  assert.equal(chunk_size(MIB).bytes, MIB);
  assert.equal(chunk_size(MIB, 300).bytes, 300);
});

test("failures halve a chunk down to 64 KiB", () => {
  const size = chunk_size();
  const sizes = Array.from({ length: 6 }, () => (size.failed(), size.bytes / KIB));
  assert.deepEqual(sizes, [512, 256, 128, 64, 64, 64]);
});

test("chunks grow back to the suggestion after runs of successes, and not beyond", () => {
  const size = chunk_size();
  size.failed();
  size.failed();
  for (let i = 0; i < 7; i++) size.succeeded();
  assert.equal(size.bytes, 256 * KIB);
  size.succeeded();
  assert.equal(size.bytes, 512 * KIB);
  for (let i = 0; i < 100; i++) size.succeeded();
  assert.equal(size.bytes, MIB);
});

test("a reduced chunk stays reduced over a reconnection", () => {
  const size = chunk_size();
  size.failed();
  size.suggest({ chunk_bytes: MIB, max_chunk_bytes: MIB });
  assert.equal(size.bytes, 512 * KIB);
});

test("a size that was refused is never tried again", () => {
  const size = chunk_size();
  size.refused(null);
  size.suggest({ chunk_bytes: MIB, max_chunk_bytes: MIB });
  for (let i = 0; i < 100; i++) size.succeeded();
  assert.equal(size.bytes, 512 * KIB);
});

test("the maximum named in a refusal is obeyed, even below 64 KiB", () => {
  const size = chunk_size();
  size.refused(1000);
  assert.equal(size.bytes, 1000);
});

test("the maximum named in a refusal is used in full", () => {
  const size = chunk_size();
  size.refused(700 * KIB);
  assert.equal(size.bytes, 700 * KIB);
});

test("a generous maximum in a refusal does not keep the size from shrinking", () => {
  const size = chunk_size();
  size.refused(16 * MIB);
  for (let i = 0; i < 100; i++) size.succeeded();
  assert.equal(size.bytes, 512 * KIB);
});

const VERDICTS = [
  // status, code, verdict
  [0, "network_error", "lost"],
  [0, "stalled", "lost"],
  [200, "bad_answer", "lost"],
  [404, undefined, "lost"], // an ingress during a deployment
  [408, undefined, "lost"],
  [425, undefined, "lost"],
  [429, undefined, "lost"],
  [500, undefined, "lost"],
  [502, undefined, "lost"],
  [503, "unavailable", "lost"],
  [507, "storage_full", "lost"],
  [400, "incomplete_body", "ask"],
  [409, "superseded", "ask"],
  [409, "wrong_state", "ask"],
  [410, "upload_gone", "ask"],
  [413, undefined, "ask"],
  [413, "chunk_too_large", "ask"],
  [422, "digest_mismatch", "ask"],
  [400, "bad_request", "fatal"],
  [401, undefined, "fatal"],
  [403, "forbidden", "fatal"],
  [404, "unknown_upload", "fatal"],
  [409, "file_changed", "fatal"],
  [413, "file_too_large", "fatal"],
  [416, "range_not_satisfiable", "fatal"],
];

for (const [status, code, expected] of VERDICTS) {
  test(`${status} ${code ?? "of a proxy"} is ${expected}`, () => {
    assert.equal(verdict(new RequestFailure({ status, code })), expected);
  });
}

test("what is no failed request cannot be mended by another one", () => {
  assert.equal(verdict(new FileUnreadable()), "fatal");
  assert.equal(verdict(new Aborted()), "fatal");
  assert.equal(verdict(new TypeError("a bug")), "fatal");
});

test("an answer without a code of ours gets one from its status", () => {
  assert.equal(new RequestFailure({ status: 401 }).code, "http_401");
});

const PLACES = [
  // script, page, hostname, expected
  ["http://up.example/incoming/0.1/frontend/incoming.js", "http://app.example/x", null, "http://up.example/incoming/0.1/frontend/"],
  ["http://up.example/incoming/frontend/incoming.js?v=3#a", "http://app.example/", null, "http://up.example/incoming/frontend/"],
  ["https://app.example:8443/a/b/frontend/incoming.mjs", "https://app.example/", null, "https://app.example:8443/a/b/frontend/"],
  ["http://up.example/deep/frontend/src/module.js", "http://app.example/", null, "http://up.example/deep/frontend/"],
  ["http://up.example/files/0.1/frontend/incoming.js", "https://app.example/", "big.example:4000", "https://big.example:4000/files/0.1/frontend/"],
  ["http://app.example/assets/bundle.js", "http://app.example/page", null, "http://app.example/incoming/frontend/"],
  ["http://app.example/assets/bundle.js?from=/frontend/", "http://app.example/page", null, "http://app.example/incoming/frontend/"],
  ["file:///home/frontend/incoming.js", "http://app.example/page", null, "http://app.example/incoming/frontend/"],
  [null, "https://app.example:444/page?x=1", null, "https://app.example:444/incoming/frontend/"],
  [null, "https://app.example/", "[::1]:4000", "https://[::1]:4000/incoming/frontend/"],
];

for (const [script_url, page_url, hostname, expected] of PLACES) {
  test(`script ${script_url} on ${page_url}, host ${hostname}: the server is at ${expected}`, () => {
    assert.equal(find_frontend_url({ script_url, page_url, hostname }), expected);
  });
}

test("slots are given in the order in which they were asked for", async () => {
  const slots = new Slots(1);
  const order = [];
  const { signal } = new AbortController();
  for (const name of ["a", "b", "c"]) slots.take(signal).then(() => order.push(name));
  await settle();
  assert.deepEqual(order, ["a"]);
  slots.give_back();
  await settle();
  assert.deepEqual(order, ["a", "b"]);
});

test("who leaves the queue does not get a slot, and none is lost", async () => {
  const slots = new Slots(1);
  const leaving = new AbortController();
  await slots.take(new AbortController().signal);
  const left = slots.take(leaving.signal);
  leaving.abort();
  await assert.rejects(left, Aborted);
  slots.give_back();
  await slots.take(new AbortController().signal);
  assert.equal(slots.free, 0);
});

test("who was called off before asking does not get a slot", async () => {
  const slots = new Slots(1);
  const off = new AbortController();
  off.abort();
  await assert.rejects(slots.take(off.signal), Aborted);
  assert.equal(slots.free, 1);
});
