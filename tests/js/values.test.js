import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../../static/src/backoff.js";
import { Aborted, FileUnreadable, RequestFailure, verdict } from "../../static/src/errors.js";
import { Pace } from "../../static/src/pace.js";
import { find_frontend_url } from "../../static/src/server_url.js";
import { Slots } from "../../static/src/slots.js";
import { Speed } from "../../static/src/speed.js";
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

function pace({ chunk_bytes = MIB, max_chunk_bytes = 16 * MIB, send_ahead = 4 } = {}) {
  const pace = new Pace();
  pace.suggest({ chunk_bytes, max_chunk_bytes, send_ahead });
  return pace;
}

/** Chunks of the present size that take so many seconds each; [MiB, lanes] after each. */
function land(pace, ...seconds) {
  return seconds.map((s) => (pace.landed(pace.bytes, s), [pace.bytes / MIB, pace.lanes]));
}

test("the first chunk goes alone and has at most 1 MiB, which any proxy takes", () => {
  for (const [settings, bytes] of [
    [{}, MIB],
    [{ chunk_bytes: 8 * MIB }, MIB],
    [{ chunk_bytes: 100 * KIB }, 100 * KIB],
    [{ max_chunk_bytes: 300 }, 300],
  ]) {
    const { bytes: first, lanes } = pace(settings);
    assert.deepEqual([first, lanes], [bytes, 1], JSON.stringify(settings));
  }
});

test("quick chunks grow and get company, up to what the server allows", () => {
  assert.deepEqual(land(pace(), 0.1, 0.1, 0.5, 0.9, 1), [[2, 2], [4, 3], [8, 4], [8, 4], [8, 4]]);
  assert.deepEqual(land(pace({ max_chunk_bytes: 3 * MIB, send_ahead: 2 }), 0.1, 0.1, 0.1), [[2, 2], [3, 2], [3, 2]]);
});

test("chunks never exceed 8 MiB, for each is in memory while its digest is worked out", () => {
  const fast = pace({ max_chunk_bytes: 1024 * MIB });
  land(fast, ...Array(20).fill(0.1));
  assert.equal(fast.bytes, 8 * MIB);
});

test("chunks of 3 to 8 seconds stay as they are", () => {
  assert.deepEqual(land(pace(), 3, 5, 8, 4), [[1, 1], [1, 1], [1, 1], [1, 1]]);
});

test("a slow chunk gives up its company first, then half its size", () => {
  const line = pace();
  land(line, 1, 1);
  assert.deepEqual(land(line, 9, 9, 9), [[4, 1], [2, 1], [1, 1]]);
});

test("of several chunks that were sent at one size the first to land decides", () => {
  const line = pace();
  line.landed(MIB, 0.1);
  line.landed(MIB, 0.1);
  line.landed(MIB, 20);
  assert.deepEqual([line.bytes, line.lanes], [2 * MIB, 2]);
});

test("the short chunk at the end of a file says nothing", () => {
  const line = pace();
  line.landed(1000, 0.01);
  assert.deepEqual([line.bytes, line.lanes], [MIB, 1]);
});

test("lost chunks halve the next one down to 64 KiB, and it goes alone", () => {
  const line = pace();
  land(line, 1);
  assert.equal(line.lanes, 2);
  const sizes = Array.from({ length: 7 }, () => (line.failed(line.bytes), line.bytes / KIB));
  assert.deepEqual([sizes, line.lanes], [[1024, 512, 256, 128, 64, 64, 64], 1]);
});

test("a size that was lost the first time it was tried is tried again ever more rarely", () => {
  const line = pace();
  land(line, 1);
  line.failed(2 * MIB);
  land(line, ...Array(16).fill(1));
  assert.equal(line.bytes, MIB);
  land(line, 1);
  assert.equal(line.bytes, 2 * MIB);
  line.failed(2 * MIB);
  land(line, ...Array(64).fill(1));
  assert.equal(line.bytes, MIB);
  land(line, 1);
  assert.equal(line.bytes, 2 * MIB);
});

test("a size that has arrived before comes back with the first quick chunk", () => {
  const line = pace();
  land(line, 1, 1);
  line.failed(2 * MIB);
  assert.deepEqual(land(line, 1), [[4, 2]]);
});

test("a reduced chunk stays reduced over a reconnection", () => {
  const line = pace();
  line.failed(MIB);
  line.suggest({ chunk_bytes: MIB, max_chunk_bytes: MIB, send_ahead: 4 });
  assert.equal(line.bytes, 512 * KIB);
});

test("a grown chunk stays grown over a reconnection", () => {
  const line = pace();
  land(line, 1, 1);
  line.suggest({ chunk_bytes: MIB, max_chunk_bytes: 16 * MIB, send_ahead: 4 });
  assert.deepEqual([line.bytes, line.lanes], [4 * MIB, 3]);
});

test("a size that was refused is never tried again", () => {
  const line = pace();
  land(line, 1);
  line.refused(2 * MIB, null);
  line.suggest({ chunk_bytes: MIB, max_chunk_bytes: 16 * MIB, send_ahead: 4 });
  land(line, ...Array(200).fill(0.1));
  assert.equal(line.bytes, MIB);
});

test("the maximum named in a refusal is obeyed and used in full", () => {
  for (const limit of [1000, 700 * KIB]) {
    const line = pace();
    line.refused(MIB, limit);
    land(line, 0.1, 0.1);
    assert.equal(line.bytes, limit);
  }
});

test("a generous maximum in a refusal does not keep the size from shrinking", () => {
  const line = pace();
  line.refused(MIB, 16 * MIB);
  land(line, 0.1, 0.1);
  assert.equal(line.bytes, 512 * KIB);
});

test("a proxy that takes next to nothing is served down to 1 KiB", () => {
  const line = pace();
  const sizes = Array.from({ length: 12 }, () => (line.refused(line.bytes, null), line.bytes));
  assert.deepEqual(sizes.slice(8), [2 * KIB, KIB, KIB, KIB]);
});

test("speed is what was stored in the last half minute", () => {
  const speed = new Speed();
  assert.equal(speed.bytes_per_s(0), null);
  speed.note(0, 1000);
  assert.equal(speed.bytes_per_s(5), null, "nothing has arrived yet");
  speed.note(10, 2000);
  assert.equal(speed.bytes_per_s(10), 100);
  speed.note(20, 4000);
  assert.equal(speed.bytes_per_s(20), 150);
  for (let at_s = 30; at_s <= 100; at_s += 10) speed.note(at_s, 4000 + (at_s - 20) * 50);
  assert.equal(speed.bytes_per_s(100), 50);
});

test("speed sinks when nothing comes any more, to zero", () => {
  const speed = new Speed();
  speed.note(0, 0);
  speed.note(10, 3000);
  assert.equal(speed.bytes_per_s(10), 300);
  assert.equal(speed.bytes_per_s(30), 100);
  assert.equal(speed.bytes_per_s(45), 0);
});

test("a note that says the same again is none", () => {
  const speed = new Speed();
  speed.note(0, 0);
  for (let at_s = 1; at_s < 10; at_s++) speed.note(at_s, 0);
  speed.note(10, 1000);
  assert.equal(speed.bytes_per_s(10), 100);
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
  [401, undefined, "refused"],
  [403, undefined, "refused"],
  [403, "forbidden", "refused"],
  [407, undefined, "refused"],
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
  assert.equal(new RequestFailure({ status: 451 }).code, "http_451");
});

const PLACES = [
  // script, page, hostname, server_url, expected
  ["http://up.example/incoming/0.1/frontend/incoming.js", "http://app.example/x", null, null, "http://up.example/incoming/0.1/frontend/"],
  ["http://up.example/incoming/frontend/incoming.js?v=3#a", "http://app.example/", null, null, "http://up.example/incoming/frontend/"],
  ["https://app.example:8443/a/b/frontend/incoming.mjs", "https://app.example/", null, null, "https://app.example:8443/a/b/frontend/"],
  ["http://up.example/deep/frontend/src/module.js", "http://app.example/", null, null, "http://up.example/deep/frontend/"],
  ["http://up.example/files/0.1/frontend/incoming.js", "https://app.example/", "big.example:4000", null, "https://big.example:4000/files/0.1/frontend/"],
  ["http://app.example/assets/bundle.js", "http://app.example/page", null, null, "http://app.example/incoming/frontend/"],
  ["http://app.example/assets/bundle.js?from=/frontend/", "http://app.example/page", null, null, "http://app.example/incoming/frontend/"],
  ["file:///home/frontend/incoming.js", "http://app.example/page", null, null, "http://app.example/incoming/frontend/"],
  [null, "https://app.example:444/page?x=1", null, null, "https://app.example:444/incoming/frontend/"],
  [null, "https://app.example/", "[::1]:4000", null, "https://[::1]:4000/incoming/frontend/"],
  ["http://up.example/incoming/frontend/incoming.js", "https://app.example/a/b", "x", "https://big.example/files", "https://big.example/files/frontend/"],
  [null, "https://app.example/a/b", null, "/uploads/0.1/", "https://app.example/uploads/0.1/frontend/"],
];

for (const [script_url, page_url, hostname, server_url, expected] of PLACES) {
  test(`script ${script_url} on ${page_url}, host ${hostname}, ${server_url}: the server is at ${expected}`, () => {
    assert.equal(find_frontend_url({ script_url, page_url, hostname, server_url }), expected);
  });
}

test("slots are given in the order in which they were asked for", async () => {
  const slots = new Slots(1);
  const order = [];
  const { signal } = new AbortController();
  const give_back = await slots.take(signal);
  for (const name of ["b", "c"]) slots.take(signal).then((back) => (order.push(name), back()));
  await settle();
  assert.deepEqual(order, []);
  assert.equal(slots.is_full, true);
  give_back();
  await settle();
  assert.deepEqual(order, ["b", "c"]);
  assert.equal(slots.is_full, false);
});

test("who was under way before gets the next slot", async () => {
  const slots = new Slots(1);
  const order = [];
  const { signal } = new AbortController();
  const give_back = await slots.take(signal);
  slots.take(signal).then((back) => (order.push("new"), back()));
  slots.take(signal, { in_front: true }).then((back) => (order.push("again"), back()));
  give_back();
  await settle();
  assert.deepEqual(order, ["again", "new"]);
});

test("a slot is given back once, however often one says so", async () => {
  const slots = new Slots(1);
  const { signal } = new AbortController();
  const give_back = await slots.take(signal);
  give_back();
  give_back();
  await slots.take(signal);
  assert.equal(slots.is_full, true);
});

test("more slots are given at once, fewer as they come back", async () => {
  const slots = new Slots(1);
  const { signal } = new AbortController();
  const backs = [];
  for (let i = 0; i < 4; i++) slots.take(signal).then((back) => backs.push(back));
  await settle();
  slots.resize(3);
  await settle();
  assert.equal(backs.length, 3);
  slots.resize(1);
  backs[0]();
  backs[1]();
  await settle();
  assert.equal(backs.length, 3);
  backs[2]();
  await settle();
  assert.equal(backs.length, 4);
});

test("who leaves the queue does not get a slot, and none is lost", async () => {
  const slots = new Slots(1);
  const leaving = new AbortController();
  const give_back = await slots.take(new AbortController().signal);
  const left = slots.take(leaving.signal);
  leaving.abort();
  await assert.rejects(left, Aborted);
  give_back();
  await slots.take(new AbortController().signal);
  assert.equal(slots.is_full, true);
});

test("who was called off before asking does not get a slot", async () => {
  const slots = new Slots(1);
  const off = new AbortController();
  off.abort();
  await assert.rejects(slots.take(off.signal), Aborted);
  assert.equal(slots.is_full, false);
});
