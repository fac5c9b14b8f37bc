/** The bytes that arrive are those of one file, whatever happens to it on the disk. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { keep_digest } from "../../static/src/chunk.js";
import { RequestFailure } from "../../static/src/errors.js";
import { arrange as arrange_all, FakeFile, FakeServer, line_lost, refusal, settle, sha256_hex } from "./fakes.js";

function arrange(options) {
  const all = arrange_all(options);
  all.surroundings.make_secure();
  return all;
}

/** A server that has chunks of 4 bytes of `file` already, with the digests of all but `without`. */
function begun_with(file, chunks, { without = [] } = {}) {
  const server = new FakeServer();
  Object.assign(server, {
    state: "UPLOADING",
    announced: { length: file.size },
    bytes: new Uint8Array(file.size),
    flags: Array(file.size).fill(false),
  });
  for (const number of chunks) server.store(number * 4, file.bytes.slice(number * 4, number * 4 + 4));
  const digests = chunks
    .filter((number) => !without.includes(number))
    .map((number) => ({ start: number * 4, stop: number * 4 + 4, sha256: sha256_hex(file.bytes.slice(number * 4, number * 4 + 4)) }));
  server.intercept = (request, normal) => {
    const answer = normal();
    if (request.url.endsWith("?digests=1")) answer.body.digests = digests;
    return answer;
  };
  return server;
}

/** `file` with one byte changed. */
function changed(file, position) {
  const other = new FakeFile(file.size);
  other.bytes = file.bytes.slice();
  other.bytes[position] ^= 1;
  return other;
}

function stalled() {
  throw new RequestFailure({ status: 0, code: "stalled" });
}

async function settle_all() {
  for (let i = 0; i < 50; i++) await settle();
}

test("each chunk carries the SHA-256 of its bytes", async () => {
  const { uploader, server, file } = arrange();
  uploader.start();
  await settle_all();
  const sent = server.requests.filter(({ method }) => method === "PUT").map(({ headers }) => headers["Content-Digest"]);
  const expected = [[0, 4], [4, 8], [8, 10]].map(
    ([start, stop]) => `sha-256=:${Buffer.from(sha256_hex(file.bytes.slice(start, stop)), "hex").toString("base64")}:`,
  );
  assert.deepEqual(sent, expected);
});

test("a page that came by plain http sends its chunks without digests", async () => {
  const { uploader, server } = arrange_all();
  uploader.start();
  await settle_all();
  assert.equal(server.state, "COMPLETE");
  assert.ok(server.requests.every(({ headers }) => headers?.["Content-Digest"] === undefined));
});

test("the same file goes on where it was", async () => {
  const file = new FakeFile(40);
  const server = begun_with(file, [0, 1, 2, 5, 7]);
  const { uploader } = arrange({ server, file });
  uploader.start();
  await settle_all();
  assert.equal(server.state, "COMPLETE");
  assert.deepEqual(server.bytes, file.bytes);
  const sent = server.requests.filter(({ method }) => method === "PUT").map(({ start }) => start);
  assert.deepEqual(sent, [12, 16, 24, 32, 36]);
});

for (const [where, position] of [["first", 1], ["last", 30], ["second", 6], ["third", 11]]) {
  test(`a file of the same name and length with another ${where} chunk is not the same file`, async () => {
    const file = new FakeFile(40);
    const server = begun_with(file, [0, 1, 2, 7]);
    const { uploader, events } = arrange({ server, file: changed(file, position) });
    uploader.start();
    await settle_all();
    assert.equal(uploader.error_code, "file_changed");
    assert.match(uploader.error_msg, /not the same file/);
    assert.deepEqual(events.slice(-2).map(({ name }) => name), ["onprogress", "onerror"]);
    assert.ok(!server.log.includes("PUT"), "not a byte was sent");
  });
}

test("of many chunks four are compared: the first, the last and two at random", async () => {
  const file = new FakeFile(400);
  const server = begun_with(file, Array.from({ length: 90 }, (_, number) => number));
  const { uploader, surroundings } = arrange({ server, file });
  const compared = [];
  const slice = file.slice.bind(file);
  file.slice = (start, stop) => (compared.push(start / 4), slice(start, stop));
  const numbers = [0.2, 0.9999];
  surroundings.random = () => numbers.shift() ?? 0.5;
  uploader.start();
  await settle_all();
  assert.deepEqual(compared.slice(0, 4), [0, 89, 18, 88]);
});

test("chunks whose digest the server does not know are not compared", async () => {
  const file = new FakeFile(40);
  const server = begun_with(file, [0, 1], { without: [0, 1] });
  const { uploader } = arrange({ server, file });
  uploader.start();
  await settle_all();
  assert.equal(server.state, "COMPLETE");
});

test("a file that is at work already is not compared again after a lost line", async () => {
  const { uploader, server, surroundings } = arrange({ length: 40 });
  let puts = 0;
  server.intercept = (request, normal) => (request.method === "PUT" && ++puts === 3 ? line_lost() : normal());
  uploader.start();
  await settle_all();
  await surroundings.advance(1);
  await settle_all();
  assert.ok(server.log.startsWith("POST PUT PUT PUT POST PUT"), server.log);
});

test("a chunk that was damaged on its way is sent again", async () => {
  const { uploader, server, surroundings, file } = arrange();
  let puts = 0;
  server.intercept = (request, normal) =>
    request.method === "PUT" && ++puts === 2 ? refusal(422, "digest_mismatch") : normal();
  uploader.start();
  await settle_all();
  await surroundings.advance(1);
  await settle_all();
  assert.equal(server.state, "COMPLETE");
  assert.deepEqual(server.bytes, file.bytes);
  assert.equal(uploader.error_code, null);
});

for (const [what, lose] of [["a wrong digest", () => refusal(422, "digest_mismatch")], ["no answer", line_lost]]) {
  test(`a file that was changed while a chunk of it was under way ends with an error that says so (${what})`, async () => {
    const { uploader, server, file, events } = arrange();
    let puts = 0;
    server.intercept = (request, normal) => {
      if (request.method !== "PUT" || ++puts < 2) return normal();
      file.bytes[5] ^= 1;
      return lose();
    };
    uploader.start();
    await settle_all();
    assert.equal(uploader.error_code, "file_unreadable");
    assert.match(uploader.error_msg, /changed, moved or deleted/);
    assert.equal(events.at(-1).name, "onerror");
  });
}

test("a file that is cut short is noticed where the browser reads what is left without an error", async () => {
  for (const secure of [true, false]) {
    const { uploader, server, file, surroundings } = arrange_all({ length: 12 });
    if (secure) surroundings.make_secure();
    server.intercept = (request, normal) => {
      if (request.method !== "PUT") return normal();
      file.bytes = file.bytes.slice(0, 2);
      return stalled();
    };
    uploader.start();
    await settle_all();
    assert.equal(uploader.error_code, "file_unreadable", `secure: ${secure}`);
  }
});

test("a file that is overwritten with another of the same length is noticed before it is complete", async () => {
  const { uploader, server, file } = arrange({ length: 40 });
  server.intercept = (request, normal) => {
    const answer = normal();
    if (request.method === "PUT" && request.start === 16) file.bytes = file.bytes.map((byte) => byte ^ 1);
    return answer;
  };
  uploader.start();
  await settle_all();
  assert.equal(uploader.error_code, "file_unreadable");
  assert.equal(server.state, "UPLOADING");
});

test("of a file of a million chunks a page remembers a few digests", async () => {
  const digests = [];
  for (let start = 0; start < 1000; start++) keep_digest(digests, { range: [start, start + 1], sha256: "00" }, Math.random);
  assert.equal(digests.length, 64);
  assert.deepEqual([digests[0].start, digests.at(-1).start], [0, 999]);
});

test("a chunk whose digest cannot be worked out goes without", async () => {
  const { uploader, server, surroundings } = arrange();
  surroundings.find_sha256 = () => async () => {
    throw new RangeError("Array buffer allocation failed");
  };
  uploader.start();
  await settle_all();
  assert.equal(server.state, "COMPLETE");
});

test("a file that was removed is noticed before the next chunk", async () => {
  const { uploader, server, file } = arrange();
  server.intercept = (request, normal) => {
    if (request.method === "PUT") file.readable = false;
    return normal();
  };
  uploader.start();
  await settle_all();
  assert.equal(uploader.error_code, "file_unreadable");
  assert.equal(server.log, "POST PUT");
});
