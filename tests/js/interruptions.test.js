/** What a page relies on when the line, the server or the page itself interrupts. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { RequestFailure } from "../../static/src/errors.js";
import { Slots } from "../../static/src/slots.js";
import { arrange as arrange_all, check_events, FakeFile, FakeServer, held, line_lost, refusal, settle } from "./fakes.js";

let arranged = [];

function arrange(options) {
  const all = arrange_all(options);
  arranged.push(all);
  return all;
}

afterEach(() => {
  for (const { events, surroundings } of arranged) {
    check_events(events);
    assert.deepEqual(surroundings.reported, []);
  }
  arranged = [];
});

const flags = ({ connected, paused, cancelling, cancelled, finished, can_pause, can_cancel }) =>
  Object.entries({ connected, paused, cancelling, cancelled, finished, can_pause, can_cancel })
    .filter(([, value]) => value)
    .map(([name]) => name)
    .join(" ");

/** Intercept the nth request of a method (from 1) with `action`, all others are normal. */
function on_nth(method, number, action) {
  let seen = 0;
  return (request, normal) => (request.method === method && ++seen === number ? action(request, normal) : normal());
}

/** Never answered; only calling it off ends it. */
const never = () => new Promise(() => {});

async function finish({ server, surroundings, uploader, file }) {
  await surroundings.advance(0);
  server.finish();
  await surroundings.advance(25);
  assert.equal(uploader.finished, true);
  assert.deepEqual(server.bytes, file.bytes);
  assert.equal(surroundings.wake_listeners.size, 0, "nothing listens any more");
}

// ---- lost lines

test("a line lost in the middle is no error: connected goes false, and the upload goes on by itself", async () => {
  const all = arrange();
  const { uploader, server, surroundings, events } = all;
  server.intercept = on_nth("PUT", 2, line_lost);
  uploader.start();
  await settle();
  assert.equal(flags(uploader), "can_pause can_cancel");
  assert.equal(uploader.state_msg, "Trying again: The server cannot be reached");
  assert.deepEqual([uploader.bytes_tx, uploader.bytes_acked, uploader.chunks_ahead], [4, 4, 0]);
  assert.equal(events.at(-1).connected, false);

  await surroundings.advance(0.25);
  assert.equal(uploader.connected, true);
  assert.equal(server.log, "POST PUT PUT POST PUT PUT GET");
  assert.equal(uploader.error_code, null);
  await finish(all);
});

test("chunk counts begin at 0 with each reconnection, bytes do not", async () => {
  const { uploader, server, surroundings, events } = arrange({ length: 20 });
  server.intercept = on_nth("PUT", 4, line_lost);
  uploader.start();
  await settle();
  assert.equal(uploader.chunks_acked_now, 3);
  await surroundings.advance(1);
  const again = events[events.findIndex(({ connected, bytes_acked }) => !connected && bytes_acked === 12) + 1];
  assert.deepEqual([again.connected, again.bytes_acked, again.bytes_tx], [true, 12, 12]);
  assert.deepEqual([again.chunks_tx_now, again.chunks_acked_now], [0, 0]);
});

test("a server that is down at start is waited for, for ever and ever more patiently", async () => {
  const all = arrange();
  const { uploader, server, surroundings, events } = all;
  server.intercept = line_lost;
  uploader.start();
  await surroundings.advance(3600);
  assert.equal(flags(uploader), "can_pause can_cancel");
  assert.ok(server.requests.length > 100 && server.requests.length < 150, `${server.requests.length} tries in an hour`);
  assert.ok(events.every(({ name }) => name === "onprogress"));
  server.intercept = (request, normal) => normal();
  await surroundings.advance(60);
  await finish(all);
});

test("after progress the next lost line is tried again soon", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = line_lost;
  uploader.start();
  await surroundings.advance(600);
  server.intercept = on_nth("PUT", 2, line_lost);
  await surroundings.advance(60);
  const before = surroundings.waits_s.filter((seconds) => seconds === 0.25).length;
  assert.equal(before, 2, "the very first wait and the one after progress");
});

test("an answered announcement alone is no progress: chunks that always fail are tried ever more rarely", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = (request, normal) => (request.method === "PUT" ? line_lost() : normal());
  uploader.start();
  await surroundings.advance(600);
  assert.ok(server.requests.filter(({ method }) => method === "PUT").length < 30);
});

test("a Retry-After is obeyed", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = on_nth("POST", 1, () => ({ ...refusal(503, "unavailable"), retry_after: "40" }));
  uploader.start();
  await surroundings.advance(39);
  assert.equal(server.log, "POST");
  assert.equal(uploader.state_msg, "Trying again: detail of unavailable");
  await surroundings.advance(7); // up to a quarter more, so that not all come back in one second
  assert.equal(uploader.connected, true);
});

test("waking up, online again say, only shortens a wait", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = line_lost;
  uploader.start();
  await surroundings.advance(1000);
  server.intercept = (request, normal) => (request.method === "PUT" ? never() : normal());
  surroundings.wake();
  await settle();
  assert.equal(uploader.connected, true);
  const requests = server.requests.length;
  surroundings.wake();
  await settle();
  assert.equal(server.requests.length, requests);
});

test("waking up does not shorten what the server has asked for", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = on_nth("POST", 1, () => ({ ...refusal(503, "unavailable"), retry_after: "40" }));
  uploader.start();
  await surroundings.advance(20);
  surroundings.wake();
  await settle();
  assert.equal(server.log, "POST");
});

test("a page that is shown again asks at once whether the app has the file", async () => {
  const { uploader, server, surroundings } = arrange();
  uploader.start();
  await surroundings.advance(60);
  server.finish();
  surroundings.wake();
  await settle();
  assert.equal(uploader.finished, true);
});

for (const [status, code] of [[0], [408], [425], [429], [500], [502], [504], [503, "unavailable"], [507, "storage_full"], [404]]) {
  test(`a chunk answered ${status} ${code ?? ""} is sent again after a reconnection`, async () => {
    const all = arrange();
    const { uploader, server, surroundings, events } = all;
    server.intercept = on_nth("PUT", 2, () => (status === 0 ? line_lost() : refusal(status, code)));
    uploader.start();
    await surroundings.advance(1);
    assert.match(server.log, /^POST PUT PUT POST PUT PUT( GET)+$/);
    assert.ok(events.some(({ connected, bytes_acked }) => !connected && bytes_acked === 4));
    await finish(all);
  });
}

for (const [status, code] of [[409, "superseded"], [400, "incomplete_body"], [422, "digest_mismatch"], [413, "chunk_too_large"], [413]]) {
  test(`a chunk answered ${status} ${code ?? "by a proxy"} is sent again on the same line`, async () => {
    const all = arrange();
    const { uploader, server, surroundings, events } = all;
    server.intercept = on_nth("PUT", 2, () => refusal(status, code));
    uploader.start();
    await surroundings.advance(0.3);
    assert.ok(server.log.startsWith("POST PUT PUT GET PUT PUT GET"), server.log);
    assert.ok(events.slice(2).every(({ connected }) => connected));
    await finish(all);
  });
}

const KIB = 1024;

/** A server for chunks of real size; `sizes()` of the chunks so far are in KiB. */
function arrange_large(length) {
  const server = new FakeServer({ chunk_bytes: 1024 * KIB, max_chunk_bytes: 4096 * KIB });
  server.store = (start, bytes) => {
    server.bytes.set(bytes, start);
    server.flags.fill(true, start, start + bytes.length);
    if (!server.flags.includes(false)) server.state = "COMPLETE";
  };
  const sizes = () => server.requests.filter(({ method }) => method === "PUT").map(({ start, stop }) => (stop - start) / KIB);
  return { ...arrange({ length, server }), sizes };
}

test("a chunk size that is refused is halved until it passes", async () => {
  const all = arrange_large(2048 * KIB);
  const { uploader, server, surroundings, sizes } = all;
  server.intercept = (request, normal) =>
    request.method === "PUT" && request.stop - request.start > 300 * KIB ? refusal(413) : normal();
  uploader.start();
  await surroundings.advance(10);
  assert.deepEqual(sizes(), [1024, 512, ...Array(8).fill(256)]);
  await finish(all);
});

test("quick chunks grow to the server's maximum", async () => {
  const all = arrange_large(16 * 1024 * KIB);
  const { uploader, surroundings, sizes } = all;
  uploader.start();
  await surroundings.advance(1);
  assert.deepEqual(sizes(), [1024, 2048, 4096, 4096, 4096, 1024]);
  await finish(all);
});

for (const [what, lose] of [
  ["0", line_lost],
  ["408", () => refusal(408)],
  ["502", () => refusal(502)],
  ["504", () => refusal(504)],
]) {
  test(`after a chunk that came to ${what} the server is asked what it has, and the next one is half as large`, async () => {
    const all = arrange_large(7 * 1024 * KIB);
    const { uploader, server, surroundings, sizes } = all;
    server.intercept = on_nth("PUT", 3, (request) => {
      server.store(request.start, request.body.bytes.slice(0, 100 * KIB)); // what has arrived is kept
      return lose();
    });
    uploader.start();
    await surroundings.advance(1);
    assert.deepEqual(sizes(), [1024, 2048, 4096, 2048, 1948]);
    assert.ok(server.log.startsWith("POST PUT PUT PUT POST PUT PUT GET"), server.log);
    await finish(all);
  });
}

test("an upload refused for every size asks ever more rarely, and goes on when the proxy is mended", async () => {
  const all = arrange();
  const { uploader, server, surroundings } = all;
  server.intercept = (request, normal) => (request.method === "PUT" ? refusal(413) : normal());
  uploader.start();
  await surroundings.advance(600);
  assert.ok(server.requests.length < 60, `${server.requests.length}`);
  server.intercept = (request, normal) => normal();
  await surroundings.advance(60);
  await finish(all);
});

test("one lost chunk calls off the others, and each missing byte is sent again", async () => {
  const all = arrange({ length: 40, server: new FakeServer({ send_ahead: 3 }) });
  const { uploader, server, surroundings } = all;
  server.intercept = (request, normal) => {
    if (request.method !== "PUT" || request.start < 12 || server.requests.length > 7) return normal();
    return request.start === 16 ? line_lost() : never();
  };
  uploader.start();
  await settle();
  assert.deepEqual(server.requests.slice(4).map(({ signal }) => signal.aborted), [true, true, true]);
  assert.deepEqual([uploader.connected, uploader.chunks_ahead, uploader.bytes_ahead], [false, 0, 0]);
  await surroundings.advance(1);
  await finish(all);
});

test("a lost answer to the last chunk still ends in finished", async () => {
  const all = arrange({ length: 8 });
  const { uploader, server, surroundings } = all;
  server.intercept = on_nth("PUT", 2, (request, normal) => {
    normal();
    line_lost();
  });
  uploader.start();
  await settle();
  assert.equal(uploader.connected, false);
  await surroundings.advance(1);
  assert.ok(server.log.startsWith("POST PUT PUT POST GET"), server.log);
  await finish(all);
});

test("a line lost while the app is asked is found again", async () => {
  const all = arrange({ length: 4 });
  const { uploader, server, surroundings, events } = all;
  server.intercept = (request, normal) => (server.requests.length > 3 ? line_lost() : normal());
  uploader.start();
  await surroundings.advance(120);
  assert.deepEqual([uploader.connected, uploader.frac_complete, uploader.can_cancel], [false, 1, false]);
  server.intercept = (request, normal) => normal();
  await surroundings.advance(60);
  assert.equal(uploader.connected, true);
  await finish(all);
  assert.ok(events.every(({ name }) => name !== "onerror"));
});

test("a line that was long lost while the app is asked, and found, is tried again soon when lost again", async () => {
  const { uploader, server, surroundings } = arrange({ length: 4 });
  uploader.start();
  await settle();
  server.intercept = line_lost;
  await surroundings.advance(600);
  server.intercept = (request, normal) => normal();
  await surroundings.advance(60);
  assert.equal(uploader.connected, true);
  server.intercept = line_lost;
  while (uploader.connected) await surroundings.advance(0.1);
  assert.equal(surroundings.waits_s.at(-1), 0.25);
});

test("an empty file whose server is down can be paused and cancelled like any other", async () => {
  const { uploader, server } = arrange({ length: 0 });
  server.intercept = line_lost;
  uploader.start();
  await settle();
  assert.equal(flags(uploader), "can_pause can_cancel");
});

test("an answer of somebody else's is not believed", async () => {
  const all = arrange();
  const { uploader, server, surroundings } = all;
  server.intercept = on_nth("PUT", 1, () => ({ status: 200, retry_after: null, body: null }));
  uploader.start();
  await settle();
  assert.equal(uploader.connected, false);
  await surroundings.advance(1);
  await finish(all);
});

test("a chunk that the server did not store in spite of its 200 is not sent in a hot loop", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = (request, normal) => (request.method === "PUT" ? server.view() : normal());
  uploader.start();
  await surroundings.advance(600);
  assert.ok(server.requests.length < 60, `${server.requests.length}`);
});

test("bytes that the server has lost are sent again", async () => {
  const all = arrange({ length: 8 });
  const { uploader, server, surroundings } = all;
  server.intercept = on_nth("PUT", 2, (request, normal) => {
    const answer = normal();
    server.flags.fill(false, 0, 3);
    server.bytes.fill(0, 0, 3);
    server.state = "UPLOADING";
    return answer;
  });
  uploader.start();
  await surroundings.advance(1);
  assert.equal(server.state, "COMPLETE");
  await finish(all);
});

test("uploads of one page share its slots, and all come through", async () => {
  const chunk_slots = new Slots(2);
  const uploads = Array.from({ length: 5 }, () => arrange({ chunk_slots, length: 20, server: new FakeServer({ send_ahead: 4 }) }));
  let under_way = 0;
  let most = 0;
  for (const { server } of uploads) {
    server.intercept = async (request, normal) => {
      if (request.method === "PUT") {
        most = Math.max(most, ++under_way);
        await settle();
        under_way -= 1;
      }
      return normal();
    };
  }
  for (const { uploader } of uploads) uploader.start();
  for (let i = 0; i < 100; i++) await settle();
  assert.equal(most, 2);
  for (const all of uploads) await finish(all);
});

test("waiting for the app keeps no slot from others", async () => {
  const [chunk_slots, file_slots] = [new Slots(1), new Slots(1)];
  const waiting = arrange({ chunk_slots, file_slots, length: 4 });
  const other = arrange({ chunk_slots, file_slots, length: 4 });
  waiting.uploader.start();
  await settle();
  other.uploader.start();
  await settle();
  assert.equal(other.uploader.frac_complete, 1);
});

// ---- pause

test("a pause calls the chunks off, keeps what is stored, and lasts until it is lifted", async () => {
  const all = arrange();
  const { uploader, server, surroundings, events } = all;
  server.intercept = on_nth("PUT", 2, (request) => {
    request.on_sent(3);
    return never();
  });
  uploader.start();
  await settle();
  assert.equal(uploader.pause("pause"), uploader);
  assert.equal(flags(uploader), "paused can_pause can_cancel");
  assert.equal(flags(events.at(-1)), "paused can_pause can_cancel");
  assert.deepEqual([uploader.bytes_tx, uploader.bytes_acked, uploader.state_msg], [4, 4, "Paused"]);
  assert.ok(server.requests.at(-1).signal.aborted);

  await surroundings.advance(3600);
  surroundings.wake();
  await surroundings.advance(1);
  assert.equal(server.log, "POST PUT PUT");

  uploader.pause("unpause");
  assert.equal(uploader.paused, false);
  await settle();
  assert.equal(uploader.connected, true);
  await finish(all);
});

test("pause and unpause in one go go on at once", async () => {
  const all = arrange();
  const { uploader, server } = all;
  server.intercept = on_nth("PUT", 2, never);
  uploader.start();
  await settle();
  uploader.pause("pause").pause("unpause");
  await settle();
  assert.equal(uploader.connected, true);
  assert.equal(server.log, "POST PUT PUT POST PUT PUT GET");
  await finish(all);
});

test("unpausing tries at once and begins with short waits, however long the line was lost before", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = line_lost;
  uploader.start();
  await surroundings.advance(600);
  uploader.pause("pause").pause("unpause");
  await settle();
  assert.equal(surroundings.waits_s.at(-1), 0.25);
});

test("toggle toggles; a second pause and an unpause without a pause do nothing", async () => {
  const { uploader, server, events } = arrange();
  server.intercept = on_nth("PUT", 1, never);
  uploader.start();
  await settle();
  uploader.pause("unpause");
  assert.equal(uploader.connected, true);
  uploader.pause("toggle");
  assert.equal(uploader.paused, true);
  const callbacks = events.length;
  uploader.pause("pause");
  assert.deepEqual([uploader.paused, events.length], [true, callbacks]);
  uploader.pause("toggle");
  assert.equal(uploader.paused, false);
});

test("an upload can be paused while the line is lost, and then does not try again", async () => {
  const all = arrange();
  const { uploader, server, surroundings } = all;
  server.intercept = line_lost;
  uploader.start();
  await surroundings.advance(10);
  uploader.pause("pause");
  assert.equal(surroundings.timers.size, 0, "nothing is left that could wake it");
  const requests = server.requests.length;
  await surroundings.advance(600);
  assert.equal(server.requests.length, requests);
  server.intercept = (request, normal) => normal();
  uploader.pause("unpause");
  await settle();
  assert.equal(uploader.connected, true);
  await finish(all);
});

test("an upload that is not started cannot be paused", async () => {
  const { uploader, events } = arrange();
  uploader.pause("pause");
  uploader.pause("toggle");
  assert.equal(uploader.paused, false);
  assert.deepEqual(events, []);
});

test("a word that pause() does not know is a mistake of the page", () => {
  assert.throws(() => arrange().uploader.pause("stop"), TypeError);
});

for (const [state, last_callbacks] of [["UPLOADING", 3], ["FINISHED", 5]]) {
  test(`a pause holds at whatever moment it meets the answer to the announcement (${state})`, async () => {
    for (let moment = 0; moment < 30; moment++) {
      const { uploader, server, events } = arrange({ length: 4 });
      const late = held();
      server.intercept = on_nth("POST", 1, async (request, normal) => {
        await late.promise;
        normal();
        server.state = state;
        return server.view();
      });
      uploader.start();
      await settle();
      late.resolve();
      for (let i = 0; i < moment; i++) await null;
      uploader.pause("pause");
      const [callbacks, seen] = [events.length, flags(uploader)];
      await settle();
      assert.equal(flags(uploader), seen, `after ${moment} steps`);
      if (uploader.paused) assert.equal(events.length, callbacks, `after ${moment} steps`);
      else assert.ok(callbacks >= last_callbacks - 1);
    }
  });
}

test("a page may pause from within onprogress", async () => {
  const all = arrange();
  const { uploader, server } = all;
  const note = uploader.onprogress;
  uploader.onprogress = (argument) => {
    note(argument);
    if (uploader.bytes_acked === 4 && !uploader.paused && uploader.connected && server.log === "POST PUT") uploader.pause("pause");
  };
  uploader.start();
  await settle();
  assert.equal(uploader.paused, true);
  assert.equal(server.log, "POST PUT");
  uploader.pause("unpause");
  await finish(all);
});

// ---- cancel

const CANCELLED_AT_LAST = ["onprogress", "oncancelled"];

function endings(events) {
  return events.slice(-2).map(({ name }) => name);
}

test("a cancel: cancelling, then cancelled, onprogress, oncancelled, and no onerror", async () => {
  const { uploader, server, surroundings, events } = arrange();
  server.intercept = on_nth("PUT", 2, never);
  uploader.start();
  await settle();
  assert.equal(uploader.cancel("changed my mind & left"), uploader);
  assert.equal(flags(events.at(-1)), "connected cancelling");
  assert.equal(uploader.cancel_msg, "changed my mind & left");
  server.notified = true;
  await surroundings.advance(1);

  assert.equal(flags(uploader), "cancelled");
  assert.equal(uploader.cancel_msg, "changed my mind & left");
  assert.equal(server.reason, "changed my mind & left");
  assert.deepEqual(endings(events), CANCELLED_AT_LAST);
  assert.deepEqual(events.slice(-2).map(flags), ["cancelled", "cancelled"]);
  assert.deepEqual([uploader.error_code, uploader.error_msg], [null, null]);
  assert.ok(server.requests[2].signal.aborted);
});

test("the page sees cancelled only after the app was told", async () => {
  const { uploader, server, surroundings } = arrange();
  uploader.cancel("no");
  await surroundings.advance(50);
  assert.equal(flags(uploader), "cancelling");
  server.notified = true;
  await surroundings.advance(2);
  assert.equal(flags(uploader), "cancelled");
});

test("an app that cannot be told keeps the page waiting for one minute, not longer", async () => {
  const { uploader, surroundings } = arrange();
  uploader.cancel("no");
  await surroundings.advance(58);
  assert.equal(uploader.cancelling, true);
  await surroundings.advance(5);
  assert.equal(uploader.cancelled, true);
});

test("a cancel before start reaches the server, and start does nothing any more", async () => {
  const { uploader, server, surroundings, events } = arrange();
  server.notified = true;
  uploader.cancel("never mind");
  uploader.start();
  await surroundings.advance(1);
  assert.equal(server.log, "DELETE");
  assert.equal(flags(uploader), "cancelled");
  assert.deepEqual(endings(events), CANCELLED_AT_LAST);
  uploader.start();
  await surroundings.advance(1);
  assert.equal(server.log, "DELETE");
});

test("a cancel while offline reaches the server later", async () => {
  const { uploader, server, surroundings, events } = arrange();
  server.intercept = line_lost;
  server.notified = true;
  uploader.start();
  await surroundings.advance(20);
  uploader.cancel("no");
  await surroundings.advance(600);
  assert.equal(flags(uploader), "cancelling");
  server.intercept = (request, normal) => normal();
  surroundings.wake();
  await settle();
  assert.equal(server.state, "CANCELLED");
  assert.equal(flags(uploader), "cancelled");
  assert.deepEqual(endings(events), CANCELLED_AT_LAST);
});

test("a cancel while paused reaches the server", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = on_nth("PUT", 2, never);
  server.notified = true;
  uploader.start();
  await settle();
  uploader.pause("pause").cancel("no");
  assert.equal(flags(uploader), "cancelling");
  await surroundings.advance(1);
  assert.equal(flags(uploader), "cancelled");
});

test("a cancel whose answer is lost is repeated", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = on_nth("DELETE", 1, (request, normal) => {
    normal();
    line_lost();
  });
  server.notified = true;
  uploader.cancel("no");
  await surroundings.advance(1);
  assert.equal(server.log, "DELETE DELETE");
  assert.equal(flags(uploader), "cancelled");
});

test("the page's own reason stays, even if the app was faster with another", async () => {
  const { uploader, server } = arrange();
  Object.assign(server, { state: "CANCELLED", reason: "Cancelled by request", notified: true });
  uploader.cancel("mine");
  await settle();
  assert.equal(flags(uploader), "cancelled");
  assert.equal(uploader.cancel_msg, "mine");
});

test("a second cancel does nothing, not even to the message", async () => {
  const { uploader, server, surroundings } = arrange();
  server.notified = true;
  uploader.cancel("first");
  uploader.cancel("second");
  await surroundings.advance(1);
  uploader.cancel("third");
  await surroundings.advance(1);
  assert.equal(server.log, "DELETE");
  assert.equal(uploader.cancel_msg, "first");
});

test("a cancel without a reason has a message all the same", async () => {
  const { uploader, server } = arrange();
  uploader.cancel();
  await settle();
  assert.equal(uploader.cancel_msg, "Cancelled by the user");
  assert.equal(server.reason, "Cancelled by the user");
});

test("a cancel that comes too late ends in finished, without an error", async () => {
  const all = arrange({ length: 8 });
  const { uploader, server, surroundings, events } = all;
  server.intercept = on_nth("PUT", 2, (request) => {
    server.store(request.start, request.body.bytes);
    server.state = "HANDING_OVER";
    return never();
  });
  uploader.start();
  await settle();
  uploader.cancel("too late");
  assert.equal(uploader.cancelling, true);
  await surroundings.advance(1);
  assert.equal(flags(uploader), "connected");
  assert.equal(uploader.cancel_msg, null);
  await finish(all);
  assert.ok(events.every(({ name }) => name !== "oncancelled" && name !== "onerror"));
});

test("a cancel before start of an upload that is complete already sees it through", async () => {
  const { uploader, server, surroundings, events } = arrange({ length: 2 });
  Object.assign(server, { state: "HANDING_OVER", announced: { length: 2 }, flags: [true, true] });
  uploader.cancel("too late");
  await settle();
  assert.ok(events.every(({ can_cancel, can_pause }) => !can_cancel && !can_pause));
  server.finish();
  await surroundings.advance(2);
  assert.equal(uploader.finished, true);
});

test("an upload that the server has forgotten counts as cancelled when the page cancels it", async () => {
  const { uploader, server, events } = arrange();
  server.intercept = () => refusal(404, "unknown_upload");
  uploader.cancel("no");
  await settle();
  assert.equal(flags(uploader), "cancelled");
  assert.deepEqual(endings(events), CANCELLED_AT_LAST);
});

for (const moment of ["chunk", "announcement"]) {
  test(`a cancel by the app that shows with the next ${moment} is seen with its reason and is no error`, async () => {
    const { uploader, server, surroundings, events } = arrange();
    const cancel = (request, normal) => {
      Object.assign(server, { state: "CANCELLED", reason: "Cancelled by request", notified: true });
      return normal();
    };
    server.intercept = moment === "chunk" ? on_nth("PUT", 2, cancel) : on_nth("POST", 1, cancel);
    uploader.start();
    await surroundings.advance(1);
    assert.equal(flags(uploader), "cancelled");
    assert.equal(uploader.cancel_msg, "Cancelled by request");
    assert.equal(uploader.error_code, null);
    assert.deepEqual(endings(events), CANCELLED_AT_LAST);
  });
}

// ---- errors

const FATAL = [
  ["POST", 404, "unknown_upload"],
  ["POST", 409, "file_changed"],
  ["POST", 413, "file_too_large"],
  ["PUT", 416, "range_not_satisfiable"],
];

for (const [method, status, code] of FATAL) {
  test(`${code} on ${method} is an error, and the page can go on to another file`, async () => {
    const { uploader, server, surroundings, events } = arrange();
    server.intercept = on_nth(method, 1, () => refusal(status, code));
    uploader.start();
    await surroundings.advance(600);
    assert.deepEqual([uploader.error_code, uploader.error_msg], [code, `detail of ${code}`]);
    assert.equal(flags(uploader), "cancelled");
    assert.deepEqual(endings(events), ["onprogress", "onerror"]);
    assert.ok(server.log.endsWith(method), "nothing is tried again");
  });
}

test("an app that would not take the file is an error that says why", async () => {
  const { uploader, server, surroundings, events } = arrange();
  uploader.start();
  await settle();
  Object.assign(server, { state: "FAILED", reason: "the app answered 500 for a day" });
  await surroundings.advance(3);
  assert.deepEqual([uploader.error_code, uploader.error_msg], [
    "handover_failed",
    "The file has arrived, but the application did not take it: the app answered 500 for a day",
  ]);
  assert.deepEqual(endings(events), ["onprogress", "onerror"]);
});

test("a file that cannot be read any more is an error that says what to do", async () => {
  const { uploader, server, file, surroundings, events } = arrange();
  server.intercept = on_nth("PUT", 2, () => {
    file.readable = false;
    line_lost();
  });
  uploader.start();
  await surroundings.advance(1);
  assert.equal(uploader.error_code, "file_unreadable");
  assert.match(uploader.error_msg, /choose it again/);
  assert.deepEqual(endings(events), ["onprogress", "onerror"]);
});

test("the end of another file is not taken for the end of this one", async () => {
  const server = new FakeServer();
  Object.assign(server, { state: "FINISHED", announced: { length: 99 } });
  server.intercept = (request, normal) => (request.method === "POST" ? refusal(409, "wrong_state") : normal());
  const { uploader } = arrange({ server, length: 10 });
  uploader.start();
  await settle();
  assert.equal(uploader.error_code, "file_changed");
  assert.equal(uploader.finished, false);
});

test("an announcement that was not taken is repeated before any chunk is sent", async () => {
  const all = arrange();
  const { uploader, server, surroundings } = all;
  server.intercept = on_nth("POST", 1, () => refusal(400, "incomplete_body"));
  uploader.start();
  await surroundings.advance(1);
  assert.ok(server.log.startsWith("POST GET POST PUT"), server.log);
  await finish(all);
});

test("a fault of the library itself is an error, and is reported to the developer", async () => {
  const { uploader, server, surroundings } = arrange();
  const fault = new TypeError("a bug");
  server.intercept = () => {
    throw fault;
  };
  uploader.start();
  await settle();
  assert.equal(uploader.error_code, "internal_error");
  assert.deepEqual(surroundings.reported.splice(0), [fault]);
});

// ---- refused until somebody has signed in again

for (const [method, status, code] of [
  ["POST", 401, undefined],
  ["POST", 403, "forbidden"],
  ["PUT", 403, "forbidden"],
]) {
  test(`${status} on ${method} pauses, says so, and loses nothing`, async () => {
    const all = arrange();
    const { uploader, server, surroundings, events } = all;
    server.intercept = on_nth(method, method === "PUT" ? 2 : 1, () => refusal(status, code));
    uploader.start();
    await surroundings.advance(600);
    assert.equal(flags(uploader), "paused can_pause can_cancel");
    assert.equal(uploader.trouble_code, code ?? "http_401");
    assert.equal(uploader.state_msg, `Paused: ${uploader.trouble_msg}`);
    assert.ok(events.every(({ name }) => name === "onprogress"));
    const requests = server.requests.length;
    await surroundings.advance(3600);
    assert.equal(server.requests.length, requests, "it waits for the person");
    uploader.pause("unpause");
    assert.equal(uploader.trouble_code, null);
    await finish(all);
  });
}

test("a refusal while the app is asked does not pause what nobody need do anything about", async () => {
  const all = arrange({ length: 4 });
  const { uploader, server, surroundings, events } = all;
  server.intercept = (request, normal) => (request.method === "GET" ? refusal(401) : normal());
  uploader.start();
  await surroundings.advance(60);
  assert.deepEqual([uploader.phase, uploader.can_pause, uploader.can_cancel], ["handing_over", false, false]);
  server.intercept = (request, normal) => normal();
  await surroundings.advance(60);
  await finish(all);
  assert.ok(events.every(({ paused }) => !paused));
});

for (const status of [400, 405, 406, 410, 411, 421, 451]) {
  for (const method of ["POST", "PUT", "GET"]) {
    test(`${status} of a proxy on ${method} ends nothing`, async () => {
      const all = arrange();
      const { uploader, server, surroundings } = all;
      server.intercept = on_nth(method, 1, () => refusal(status));
      uploader.start();
      await surroundings.advance(2);
      await finish(all);
    });
  }
}

test("chunks that come to nothing on a good line are told when it goes on like that, and Retry-After is obeyed", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = (request, normal) =>
    request.method === "PUT" ? { ...refusal(409, "superseded"), retry_after: "20" } : normal();
  uploader.start();
  await settle();
  assert.equal(uploader.trouble_code, null, "once is nothing to speak of");
  await surroundings.advance(110);
  assert.ok(server.requests.filter(({ method }) => method === "PUT").length <= 6);
  assert.deepEqual([uploader.phase, uploader.trouble_code], ["uploading", "superseded"]);
  server.intercept = (request, normal) => normal();
  await surroundings.advance(120);
  assert.equal(uploader.trouble_code, null);
});

test("an announcement that a redirect has turned into a question is made again", async () => {
  const all = arrange();
  const { uploader, server, surroundings } = all;
  server.intercept = on_nth("POST", 1, () => server.view());
  uploader.start();
  await settle();
  assert.deepEqual([uploader.connected, uploader.trouble_code], [false, "bad_answer"]);
  await surroundings.advance(1);
  await finish(all);
});

test("a server that forgets in its answers what it has stored is not asked in a hot loop", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = (request, normal) => {
    const answer = normal();
    if (request.method !== "PUT") Object.assign(answer.body, { state: "UPLOADING", received: [] });
    return answer;
  };
  uploader.start();
  await surroundings.advance(600);
  assert.ok(server.requests.length < 150, `${server.requests.length}`);
});

test("a cancel whose upload the app has taken meanwhile ends in finished, with all bytes and no message", async () => {
  const { uploader, server, surroundings, events } = arrange({ length: 8 });
  server.intercept = on_nth("PUT", 2, (request) => {
    server.store(request.start, request.body.bytes);
    server.finish();
    return never();
  });
  uploader.start();
  await settle();
  uploader.cancel("no more");
  await surroundings.advance(1);
  assert.deepEqual([uploader.finished, uploader.frac_complete, uploader.cancel_msg], [true, 1, null]);
  assert.deepEqual(endings(events.slice(0, -1)), ["onprogress", "onfinished"]);
});

test("a cancel that is refused leaves the upload paused, to be cancelled again", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = on_nth("DELETE", 1, () => refusal(401));
  server.notified = true;
  uploader.cancel("no");
  await settle();
  assert.equal(flags(uploader), "paused can_pause can_cancel");
  assert.equal(uploader.cancel_msg, null);
  uploader.cancel("really");
  await surroundings.advance(1);
  assert.equal(flags(uploader), "cancelled");
  assert.equal(uploader.cancel_msg, "really");
});

// ---- everything at once

for (let seed = 1; seed <= 60; seed++) {
  test(`storm ${seed}: whatever happens on the way, the file arrives whole and the callbacks hold`, async () => {
    let state = seed * 7919;
    const random = () => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return state / 2147483648;
    };
    const server = new FakeServer({ chunk_bytes: 1 + Math.floor(random() * 9), send_ahead: 1 + Math.floor(random() * 4) });
    const all = arrange({ server, file: new FakeFile(1 + Math.floor(random() * 120)) });
    const { uploader, surroundings } = all;
    surroundings.random = random;
    let calm = false;
    server.intercept = async (request, normal) => {
      if (!calm) {
        const fate = random();
        for (let delay = Math.floor(random() * 4); delay > 0; delay--) await settle();
        if (fate < 0.1) line_lost();
        if (fate < 0.2) return normal(), line_lost(); // the answer is lost
        if (fate < 0.25) return refusal(502);
        if (fate < 0.3 && request.method === "PUT") return refusal(409, "superseded");
        if (fate < 0.35 && request.method === "PUT") {
          server.store(request.start, request.body.bytes.slice(0, 2)); // cut off in the middle
          line_lost();
        }
        if (fate < 0.38) return { status: 200, retry_after: null, body: null };
        if (fate < 0.4) throw new RequestFailure({ status: 0, code: "stalled" });
      }
      return normal();
    };
    uploader.start();
    for (let step = 0; step < 60; step++) {
      if (random() < 0.2) uploader.pause("toggle");
      await surroundings.advance(random() * 3);
    }
    calm = true;
    uploader.pause("unpause");
    for (let i = 0; i < 10; i++) await surroundings.advance(30);
    await finish(all);
  });
}
