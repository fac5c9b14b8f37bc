/** What a page relies on while all goes well: values, order of callbacks, requests. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { arrange as arrange_all, check_events, FakeFile, FakeServer, held, settle, snapshot } from "./fakes.js";

let arranged = [];

function arrange(options) {
  const all = arrange_all(options);
  arranged.push(all);
  return all;
}

afterEach(() => {
  for (const { events } of arranged) check_events(events);
  arranged = [];
});

const names = (events) => events.map(({ name }) => name);

test("before start every property has its first value and nothing is sent", async () => {
  const { uploader, server, surroundings, events } = arrange({ length: 10 });
  await surroundings.advance(100);
  assert.deepEqual(snapshot(uploader), {
    filename: "report.pdf",
    bytes_total: 10,
    bytes_tx: 0,
    bytes_acked: 0,
    bytes_ahead: 0,
    frac_complete: 0,
    chunks_tx_now: 0,
    chunks_acked_now: 0,
    chunks_ahead: 0,
    state_msg: "Not started",
    cancel_msg: null,
    error_code: null,
    error_msg: null,
    connected: false,
    finished: false,
    paused: false,
    can_pause: false,
    cancelling: false,
    cancelled: false,
    can_cancel: true,
  });
  assert.equal(server.log, "");
  assert.deepEqual(events, []);
});

test("a file is announced, sent chunk by chunk, and finished when the app has it", async () => {
  const { uploader, server, file, surroundings } = arrange({ length: 10 });
  uploader.start();
  await settle();
  assert.equal(uploader.finished, false);
  assert.equal(uploader.frac_complete, 1);
  server.finish();
  await surroundings.advance(5);

  assert.equal(uploader.finished, true);
  assert.equal(surroundings.timers.size, 0);
  assert.equal(server.log, "POST PUT PUT PUT GET GET");
  assert.deepEqual(server.requests[0].json, {
    filename: "report.pdf",
    length: 10,
    type: "application/pdf",
    last_modified: 1700000000123,
  });
  assert.deepEqual(
    server.requests.slice(1, 4).map(({ start, stop, length }) => [start, stop, length]),
    [[0, 4, 10], [4, 8, 10], [8, 10, 10]],
  );
  assert.equal(server.requests[1].url, "http://host/incoming/frontend/uploads/ticket-1");
  assert.deepEqual(server.bytes, file.bytes);
});

test("at the end: onprogress (finished), onfinished, onprogress (connected is false)", async () => {
  const { uploader, server, surroundings, events } = arrange();
  uploader.start();
  await settle();
  server.finish();
  await surroundings.advance(5);
  const last = events.slice(-3).map(({ name, finished, connected }) => [name, finished, connected]);
  assert.deepEqual(last, [["onprogress", true, true], ["onfinished", true, true], ["onprogress", true, false]]);
  assert.equal(names(events).filter((name) => name === "onfinished").length, 1);
  assert.equal(events.filter(({ finished }) => finished).length, 3);
});

test("the app may take ten minutes over its answer", async () => {
  const { uploader, server, surroundings } = arrange();
  uploader.start();
  await surroundings.advance(600);
  assert.equal(uploader.finished, false);
  assert.equal(uploader.connected, true);
  const questions = server.log.split("GET").length - 1;
  assert.ok(questions > 50 && questions < 90, `gently: ${questions} questions`);
  server.finish();
  await surroundings.advance(20);
  assert.equal(uploader.finished, true);
});

test("after the last byte is sent, and while the app is asked, can_pause and can_cancel are false", async () => {
  const { uploader, server, surroundings, events } = arrange();
  const last = held();
  server.intercept = async (request, normal) => {
    if (request.method === "PUT" && request.stop === 10) {
      request.on_sent(2);
      await last.promise;
    }
    return normal();
  };
  uploader.start();
  await settle();
  assert.deepEqual([uploader.bytes_tx, uploader.bytes_acked], [10, 8]);
  assert.deepEqual([uploader.can_pause, uploader.can_cancel], [false, false]);

  uploader.pause("pause");
  assert.equal(uploader.paused, false);
  last.resolve();
  await settle();
  assert.deepEqual([uploader.can_pause, uploader.can_cancel, uploader.paused, uploader.cancelling], [false, false, false, false]);
  server.finish();
  await surroundings.advance(5);
  assert.equal(uploader.finished, true);
  assert.ok(!server.log.includes("DELETE"));
  assert.ok(events.some(({ can_pause, can_cancel }) => can_pause && can_cancel));
});

test("a cancel after the last byte counts as long as the handover has not begun", async () => {
  const { uploader, server, surroundings } = arrange();
  uploader.start();
  await settle();
  assert.deepEqual([server.state, uploader.can_cancel], ["COMPLETE", false]);
  server.notified = true;
  uploader.cancel("after all");
  assert.equal(uploader.cancelling, true);
  await surroundings.advance(1);
  assert.deepEqual([uploader.cancelled, server.state, server.reason], [true, "CANCELLED", "after all"]);
});

test("a cancel while the app is being asked comes too late, and the upload is seen through", async () => {
  const { uploader, server, surroundings } = arrange();
  uploader.start();
  await settle();
  server.state = "HANDING_OVER";
  uploader.cancel("too late");
  await surroundings.advance(1);
  assert.deepEqual([uploader.cancelling, uploader.cancel_msg, uploader.handing_over], [false, null, true]);
  server.finish();
  await surroundings.advance(5);
  assert.equal(uploader.finished, true);
});

test("sent and stored are told apart while a chunk is under way", async () => {
  const { uploader, server } = arrange();
  const first = held();
  server.intercept = async (request, normal) => {
    if (request.method === "PUT") {
      request.on_sent(1);
      request.on_sent(3);
      await first.promise;
    }
    return normal();
  };
  uploader.start();
  await settle();
  const { bytes_tx, bytes_acked, bytes_ahead, chunks_tx_now, chunks_acked_now, chunks_ahead } = uploader;
  assert.deepEqual([bytes_tx, bytes_acked, bytes_ahead], [3, 0, 3]);
  assert.deepEqual([chunks_tx_now, chunks_acked_now, chunks_ahead], [1, 0, 1]);
});

test("as many chunks as the server allows are under way, and the next one starts when one lands", async () => {
  const { uploader, server } = arrange({ length: 40, server: new FakeServer({ send_ahead: 3 }) });
  const holds = [];
  server.intercept = async (request, normal) => {
    if (request.method === "PUT" && request.start >= 12) {
      const hold = held();
      holds.push(hold);
      await hold.promise;
    }
    return normal();
  };
  uploader.start();
  await settle();
  assert.equal(server.log, "POST PUT PUT PUT PUT PUT PUT");
  assert.equal(uploader.chunks_ahead, 3);
  holds[1].resolve();
  await settle();
  assert.equal(server.log, "POST PUT PUT PUT PUT PUT PUT PUT");
  assert.deepEqual([uploader.chunks_tx_now, uploader.chunks_acked_now], [7, 4]);
});

test("bytes acked never go back when answers overtake one another", async () => {
  const { uploader, server, surroundings, events } = arrange({ length: 12, server: new FakeServer({ send_ahead: 2 }) });
  const first = held();
  server.intercept = async (request, normal) => {
    const answer = normal();
    if (request.method === "PUT" && request.start === 4) await first.promise;
    return answer;
  };
  uploader.start();
  await settle();
  assert.equal(uploader.bytes_acked, 12, "the second answer told of both");
  first.resolve();
  await surroundings.advance(1);
  const acked = events.map(({ bytes_acked }) => bytes_acked);
  assert.deepEqual(acked, [...acked].sort((a, b) => a - b));
  assert.ok(events.every(({ chunks_ahead, bytes_ahead }) => chunks_ahead >= 0 && bytes_ahead >= 0));
});

test("bytes of a chunk that are stored before its answer is here are counted once", async () => {
  const { uploader, server } = arrange({ length: 12, server: new FakeServer({ send_ahead: 2 }) });
  const first = held();
  server.intercept = async (request, normal) => {
    if (request.method === "PUT" && request.start === 4) {
      request.on_sent(4);
      server.store(4, request.body.bytes.slice(0, 3));
      await first.promise;
    }
    return normal();
  };
  uploader.start();
  await settle();
  assert.deepEqual([uploader.bytes_tx, uploader.bytes_acked], [12, 11]);
});

for (const app_s of [0.01, 0.1, 1, 5]) {
  test(`a page waits little longer for the word of an app than the app takes: ${app_s} s`, async () => {
    const { uploader, server, surroundings } = arrange({ length: 4 });
    uploader.start();
    await surroundings.advance(app_s);
    server.finish();
    assert.equal(uploader.finished, false);
    await surroundings.advance(app_s + 0.02);
    assert.equal(uploader.finished, true);
    assert.ok(server.log.split("GET").length - 1 <= 12, "and does not ask all the time");
  });
}

test("an empty file is complete with its announcement", async () => {
  const { uploader, server, surroundings } = arrange({ length: 0 });
  uploader.start();
  await settle();
  assert.equal(uploader.frac_complete, 1);
  assert.deepEqual([uploader.can_pause, uploader.can_cancel, uploader.finished], [false, false, false]);
  server.finish();
  await surroundings.advance(5);
  assert.equal(uploader.finished, true);
  assert.ok(!server.log.includes("PUT"));
});

test("what the server has already is not sent again and counts at once", async () => {
  const server = new FakeServer();
  const file = new FakeFile(10);
  Object.assign(server, { state: "UPLOADING", announced: { length: 10 }, bytes: new Uint8Array(10), flags: Array(10).fill(false) });
  server.store(0, file.bytes.slice(0, 3));
  server.store(5, file.bytes.slice(5, 9));
  const { uploader, surroundings, events } = arrange({ server, file });
  uploader.start();
  await surroundings.advance(0);
  const connected = events.find((event) => event.connected);
  assert.deepEqual([connected.bytes_acked, connected.bytes_tx, connected.chunks_tx_now], [7, 7, 0]);
  const sent = server.requests.filter(({ method }) => method === "PUT").map(({ start, stop }) => [start, stop]);
  assert.deepEqual(sent, [[3, 5], [9, 10]]);
  assert.deepEqual(server.bytes, file.bytes);
});

test("an upload whose end was reached long ago is finished at once", async () => {
  const server = new FakeServer();
  Object.assign(server, { state: "FINISHED", announced: { length: 2 }, flags: [true, true], bytes: new Uint8Array(2) });
  const { uploader, events } = arrange({ server, length: 2 });
  uploader.start();
  await settle();
  assert.equal(uploader.finished, true);
  assert.equal(server.log, "POST");
  assert.deepEqual(names(events.slice(-3)), ["onprogress", "onfinished", "onprogress"]);
});

test("start returns the uploader, and a second start does nothing", async () => {
  const { uploader, server } = arrange({ length: 2 });
  assert.equal(uploader.start(), uploader);
  assert.equal(uploader.start(), uploader);
  await settle();
  assert.equal(server.log, "POST PUT GET");
});

test("calls after the end do nothing", async () => {
  const { uploader, server, surroundings, events } = arrange({ length: 2 });
  uploader.start();
  await settle();
  server.finish();
  await surroundings.advance(5);
  const [requests, callbacks] = [server.requests.length, events.length];
  uploader.start();
  uploader.cancel("late");
  uploader.pause("toggle");
  await surroundings.advance(100);
  assert.deepEqual([server.requests.length, events.length], [requests, callbacks]);
  assert.equal(uploader.cancel_msg, null);
});

test("callbacks that throw are reported and the upload goes on", async () => {
  const { uploader, server, surroundings } = arrange();
  const fault = new Error("of the page");
  uploader.onprogress = uploader.onfinished = () => {
    throw fault;
  };
  uploader.start();
  await settle();
  server.finish();
  await surroundings.advance(5);
  assert.equal(uploader.finished, true);
  assert.ok(surroundings.reported.length > 3 && surroundings.reported.every((error) => error === fault));
});

test("callbacks need not be set, and may be set to null", async () => {
  const { uploader, server, surroundings } = arrange();
  Object.assign(uploader, { onprogress: null, onfinished: null });
  uploader.start();
  await settle();
  server.finish();
  await surroundings.advance(5);
  assert.equal(uploader.finished, true);
  assert.deepEqual(surroundings.reported, []);
});

test("onprogress is not called when nothing has changed", async () => {
  const { uploader, surroundings, events } = arrange();
  uploader.start();
  await settle();
  const callbacks = events.length;
  await surroundings.advance(60);
  assert.equal(events.length, callbacks);
});

test("state_msg tells the story", async () => {
  const { uploader, server, surroundings, events } = arrange();
  uploader.start();
  await settle();
  server.finish();
  await surroundings.advance(5);
  const story = events.map(({ state_msg }) => state_msg).filter((message, index, all) => message !== all[index - 1]);
  assert.deepEqual(story, ["Connecting", "Uploading", "Waiting for the application", "Finished"]);
});

