/** What a page can do besides the original's: events, the promise, tickets on demand, many files, other tabs. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { find_resumable } from "../../static/src/resumable.js";
import { RequestFailure } from "../../static/src/errors.js";
import { Slots } from "../../static/src/slots.js";
import { tickets_from } from "../../static/src/tickets.js";
import { Uploader } from "../../static/src/uploader.js";
import { arrange, check_events, FakeBrowser, FakeFile, FakeServer, held, line_lost, refusal, settle } from "./fakes.js";

const never = () => new Promise(() => {});

async function settle_all() {
  for (let i = 0; i < 30; i++) await settle();
}

/** Hold every chunk; the page can be looked at in the middle. */
function hold_chunks(server) {
  server.intercept = (request, normal) => (request.method === "PUT" ? never() : normal());
}

// ---- events and the promise

test("every callback has its event, after it, on an EventTarget", async () => {
  const { uploader, server, surroundings } = arrange({ length: 4 });
  const told = [];
  for (const name of ["progress", "finished", "cancelled", "error"]) {
    const callback = uploader[`on${name}`];
    uploader[`on${name}`] = (argument) => (told.push(`on${name}`), callback(argument));
    uploader.addEventListener(name, (event) => {
      assert.equal(event.target, uploader);
      told.push(name);
    });
  }
  uploader.start();
  await settle();
  server.finish();
  await surroundings.advance(5);
  assert.ok(uploader instanceof EventTarget);
  assert.deepEqual(told.slice(-6), ["onprogress", "progress", "onfinished", "finished", "onprogress", "progress"]);
  assert.equal(told.filter((name) => name === "progress").length, told.filter((name) => name === "onprogress").length);
});

test("done resolves with the uploader when the app has the file", async () => {
  const { uploader, server, surroundings } = arrange({ length: 4 });
  uploader.start();
  await settle();
  server.finish();
  await surroundings.advance(5);
  assert.equal(await uploader.done, uploader);
});

test("done rejects with the code and the words when it will not come", async () => {
  const failed = arrange();
  failed.server.intercept = () => refusal(404, "unknown_upload");
  failed.uploader.start();
  await assert.rejects(failed.uploader.done, { code: "unknown_upload", message: "detail of unknown_upload" });

  const cancelled = arrange();
  cancelled.server.notified = true;
  cancelled.uploader.cancel("changed my mind");
  await assert.rejects(cancelled.uploader.done, { code: "cancelled", message: "changed my mind" });
});

test("a page that does not ask for done is not told of a rejection that nobody catches", async () => {
  const uncaught = [];
  const note = (error) => uncaught.push(error);
  process.on("unhandledRejection", note);
  const { uploader, server } = arrange();
  server.intercept = () => refusal(404, "unknown_upload");
  uploader.start();
  await settle_all();
  process.off("unhandledRejection", note);
  assert.deepEqual(uncaught, []);
});

// ---- progress

test("sent, stored and being handed over are three things", async () => {
  const { uploader, server, surroundings, events } = arrange({ length: 4 });
  const hold = held();
  server.intercept = async (request, normal) => {
    if (request.method === "PUT") {
      request.on_sent(4);
      await hold.promise;
    }
    return normal();
  };
  uploader.start();
  await settle();
  assert.deepEqual([uploader.bytes_tx, uploader.bytes_acked, uploader.phase, uploader.handing_over], [4, 0, "uploading", false]);
  hold.resolve();
  await settle();
  assert.deepEqual([uploader.bytes_acked, uploader.phase, uploader.handing_over, uploader.finished], [4, "handing_over", true, false]);
  server.finish();
  await surroundings.advance(5);
  assert.deepEqual([uploader.phase, uploader.handing_over, uploader.finished], ["finished", false, true]);
  check_events(events);
});

test("while the app does not take the file the page knows why", async () => {
  const { uploader, server, surroundings, events } = arrange({ length: 4 });
  uploader.start();
  await settle();
  assert.deepEqual([uploader.state_msg, uploader.trouble_code], ["Waiting for the application", null]);
  server.reason = "the application cannot be reached";
  await surroundings.advance(2);
  assert.equal(uploader.state_msg, "Waiting for the application: the application cannot be reached");
  assert.equal(uploader.trouble_code, "app_waits");
  const told = events.length;
  await surroundings.advance(60);
  assert.equal(events.length, told, "once");
  Object.assign(server, { state: "AWAITING_CONFIRMATION" });
  await surroundings.advance(5);
  assert.deepEqual([uploader.trouble_code, uploader.trouble_msg], [null, null]);
});

test("speed and time left are of what was stored, and unknown before anything was", async () => {
  const { uploader, server, surroundings } = arrange({ length: 20 });
  server.intercept = async (request, normal) => {
    if (request.method === "PUT") {
      const hold = held();
      surroundings.set_timer(hold.resolve, 4); // 1 byte a second
      await hold.promise;
    }
    return normal();
  };
  uploader.start();
  await surroundings.advance(3);
  assert.deepEqual([uploader.bytes_per_s, uploader.seconds_left], [null, null]);
  await surroundings.advance(5);
  assert.deepEqual([uploader.bytes_per_s, uploader.seconds_left], [1, 12]);
  uploader.pause("pause");
  assert.deepEqual([uploader.bytes_per_s, uploader.seconds_left], [null, null]);
});

test("what is in the way has a code and words while it lasts", async () => {
  const { uploader, server, surroundings } = arrange();
  server.intercept = () => refusal(507, "storage_full");
  uploader.start();
  await settle();
  assert.deepEqual([uploader.phase, uploader.trouble_code, uploader.trouble_msg], ["connecting", "storage_full", "detail of storage_full"]);
  server.intercept = (request, normal) => normal();
  await surroundings.advance(60);
  assert.deepEqual([uploader.trouble_code, uploader.error_code], [null, null]);
});

// ---- many files

test("three files are sent at once, the others wait for their turn, in order", async () => {
  const file_slots = new Slots(3);
  const all = Array.from({ length: 5 }, () => arrange({ file_slots, chunk_slots: new Slots(9), length: 4 }));
  for (const { server, uploader } of all) {
    hold_chunks(server);
    uploader.start();
  }
  await settle();
  assert.deepEqual(all.map(({ uploader }) => uploader.phase), ["uploading", "uploading", "uploading", "queued", "queued"]);
  assert.deepEqual(all.map(({ server }) => server.log), ["POST PUT", "POST PUT", "POST PUT", "", ""]);
  const { uploader: waiting } = all[3];
  assert.deepEqual([waiting.state_msg, waiting.connected, waiting.can_pause, waiting.can_cancel], ["Waiting for its turn", false, true, true]);

  all[1].uploader.pause("pause");
  await settle();
  assert.deepEqual(all.map(({ uploader }) => uploader.phase), ["uploading", "paused", "uploading", "uploading", "queued"]);
  all[1].uploader.pause("unpause");
  all[0].uploader.cancel("no");
  await settle();
  assert.deepEqual(all.map(({ uploader }) => uploader.phase), ["cancelling", "uploading", "uploading", "uploading", "queued"]);
});

test("ten uploads that wait for their app keep nobody waiting", async () => {
  const file_slots = new Slots(3);
  const all = Array.from({ length: 10 }, () => arrange({ file_slots, length: 4 }));
  for (const { uploader } of all) uploader.start();
  await settle_all();
  assert.ok(all.every(({ uploader }) => uploader.handing_over));
  const more = arrange({ file_slots, length: 4 });
  more.uploader.start();
  await settle_all();
  assert.equal(more.uploader.handing_over, true);
});

test("an upload that waits for its app finds the line again without a turn", async () => {
  const file_slots = new Slots(1);
  const waiting = arrange({ file_slots, length: 4 });
  waiting.uploader.start();
  await settle();
  const sending = arrange({ file_slots, length: 4 });
  hold_chunks(sending.server);
  sending.uploader.start();
  await settle();
  waiting.server.intercept = line_lost;
  await waiting.surroundings.advance(5);
  assert.equal(waiting.uploader.connected, false);
  waiting.server.intercept = (request, normal) => normal();
  waiting.server.finish();
  await waiting.surroundings.advance(60);
  assert.equal(waiting.uploader.finished, true);
});

test("an upload that has lost the line keeps its turn: the next would lose it too", async () => {
  const file_slots = new Slots(1);
  const [first, second, third] = Array.from({ length: 3 }, () => arrange({ file_slots, length: 8 }));
  let puts = 0;
  first.server.intercept = (request, normal) => (request.method === "PUT" && ++puts === 1 ? line_lost() : normal());
  hold_chunks(second.server);
  for (const { uploader } of [first, second, third]) uploader.start();
  await settle();
  assert.deepEqual([first, second, third].map(({ uploader }) => uploader.phase), ["connecting", "queued", "queued"]);
  await first.surroundings.advance(1);
  await settle_all();
  assert.deepEqual([first, second, third].map(({ uploader }) => uploader.phase), ["handing_over", "uploading", "queued"]);
});

test("a thousand files do not ask a server that is down for a thousand tickets", async () => {
  const file_slots = new Slots(3);
  let asked = 0;
  const ticket = async () => {
    asked += 1;
    throw new RequestFailure({ status: 503 });
  };
  const all = Array.from({ length: 1000 }, () => arrange({ file_slots, ticket, length: 4 }));
  for (const { uploader } of all) uploader.start();
  for (const { surroundings } of all.slice(0, 5)) await surroundings.advance(1);
  assert.ok(asked < 20, `${asked}`);
});

test("whoever is paused in the moment in which its turn comes asks for nothing, and gives the turn on", async () => {
  const file_slots = new Slots(1);
  const uncaught = [];
  const note = (error) => uncaught.push(error);
  process.on("unhandledRejection", note);
  const first = arrange({ file_slots, length: 4 });
  let asked = 0;
  const second = arrange({ file_slots, length: 4, ticket: async () => (asked++, "ticket-1") });
  const third = arrange({ file_slots, length: 4 });
  for (const { uploader } of [first, second, third]) uploader.start();
  first.uploader.addEventListener("progress", () => {
    if (first.uploader.handing_over) second.uploader.pause("pause");
  });
  await settle_all();
  process.off("unhandledRejection", note);
  assert.deepEqual([second.uploader.phase, asked, third.uploader.phase], ["paused", 0, "handing_over"]);
  assert.deepEqual(uncaught, []);
});

test("queued, paused and unpaused in one go is queued", async () => {
  const file_slots = new Slots(1);
  const [first, second] = [arrange({ file_slots, length: 4 }), arrange({ file_slots, length: 4 })];
  hold_chunks(first.server);
  for (const { uploader } of [first, second]) uploader.start();
  await settle();
  second.uploader.pause("pause").pause("unpause");
  await settle_all();
  assert.equal(second.uploader.phase, "queued");
});

test("a file that the disk does not give holds nobody else up for long, and can be cancelled at once", async () => {
  const file_slots = new Slots(1);
  const first = arrange({ file_slots, length: 4 });
  first.surroundings.make_secure();
  first.file.slice = () => ({ size: 4, slice: () => null, arrayBuffer: never });
  const second = arrange({ file_slots, length: 4 });
  first.server.notified = true;
  for (const { uploader } of [first, second]) uploader.start();
  await first.surroundings.advance(30.1);
  assert.deepEqual([first.uploader.trouble_code, first.uploader.state_msg], ["stalled", "Trying again: The file cannot be read at the moment"]);
  first.uploader.cancel("no");
  await first.surroundings.advance(1);
  await settle_all();
  assert.deepEqual([first.uploader.phase, second.uploader.phase], ["cancelled", "handing_over"]);
});

// ---- tickets on demand

test("a function is asked for the ticket when its turn has come, once", async () => {
  const asked = [];
  const ticket = async (file, relative_path) => (asked.push([file.name, relative_path]), "ticket-9");
  const { uploader, server } = arrange({ length: 4, ticket, relative_path: "a/report.pdf" });
  assert.deepEqual([uploader.upload_id, asked], [null, []]);
  hold_chunks(server);
  uploader.start();
  await settle();
  uploader.pause("pause").pause("unpause");
  await settle();
  assert.deepEqual(asked, [["report.pdf", "a/report.pdf"]]);
  assert.equal(uploader.upload_id, "ticket-9");
  assert.equal(server.requests[0].url, "http://host/incoming/frontend/uploads/ticket-9");
  assert.equal(server.requests[0].json.relative_path, "a/report.pdf");
});

test("a pause while a ticket is on its way does not use up another one", async () => {
  const hold = held();
  let asked = 0;
  const { uploader } = arrange({ ticket: () => (asked++, hold.promise) });
  uploader.start();
  await settle();
  uploader.pause("pause");
  hold.resolve("ticket-1");
  await settle();
  uploader.pause("unpause");
  await settle();
  assert.deepEqual([asked, uploader.connected], [1, true]);
});

test("an app that is down is asked again for a ticket", async () => {
  let asked = 0;
  const ticket = async () => {
    asked += 1;
    if (asked === 1) throw new TypeError("Failed to fetch");
    if (asked === 2) throw new RequestFailure({ status: 503, retry_after_s: 7 });
    return "ticket-1";
  };
  const { uploader, surroundings } = arrange({ ticket });
  uploader.start();
  await settle();
  assert.deepEqual([uploader.phase, uploader.trouble_code], ["connecting", "network_error"]);
  await surroundings.advance(1);
  assert.equal(uploader.trouble_code, "http_503");
  await surroundings.advance(5);
  assert.equal(asked, 2);
  await surroundings.advance(5);
  assert.equal(uploader.connected, true);
});

test("an app that wants a login first pauses the upload", async () => {
  let is_signed_in = false;
  const ticket = async () => {
    if (!is_signed_in) throw new RequestFailure({ status: 401, message: "Please sign in" });
    return "ticket-1";
  };
  const { uploader } = arrange({ ticket });
  uploader.start();
  await settle();
  assert.deepEqual([uploader.paused, uploader.state_msg], [true, "Paused: Please sign in"]);
  is_signed_in = true;
  uploader.pause("unpause");
  await settle();
  assert.equal(uploader.connected, true);
});

for (const [what, ticket, words] of [
  ["413", async () => Promise.reject(new RequestFailure({ status: 413, message: "At most 5 GB, please" })), "At most 5 GB, please"],
  ["404", async () => Promise.reject(new RequestFailure({ status: 404, message: "No such album" })), "No such album"],
  ["an error of its own", async () => Promise.reject(new Error("You have used up your space")), "You have used up your space"],
  ["a refusal", async () => Promise.reject(new RequestFailure({ status: 400, message: "No films, please" })), "No films, please"],
  ["nothing", async () => undefined, "The application did not give leave to upload this file"],
]) {
  test(`an app that gives ${what} instead of a ticket ends the upload with its words`, async () => {
    const { uploader, events } = arrange({ ticket });
    uploader.start();
    await settle();
    assert.deepEqual([uploader.error_code, uploader.error_msg], ["no_ticket", words]);
    assert.equal(events.at(-1).name, "onerror");
  });
}

test("a cancel before a ticket was asked for tells nobody and is done at once", async () => {
  const { uploader, server } = arrange({ ticket: async () => "ticket-1" });
  uploader.cancel("no");
  await settle();
  assert.deepEqual([uploader.cancelled, server.log], [true, ""]);
});

test("a cancel while a ticket is on its way closes that ticket", async () => {
  const hold = held();
  const { uploader, server, surroundings } = arrange({ ticket: () => hold.promise });
  server.notified = true;
  uploader.start();
  await settle();
  uploader.cancel("no");
  assert.equal(uploader.cancelling, true);
  hold.resolve("ticket-1");
  await surroundings.advance(1);
  assert.deepEqual([uploader.cancelled, server.log], [true, "DELETE"]);
});

function app_that_answers(status, text) {
  const calls = [];
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {}
  const call = async (request) => (calls.push(request), { status, retry_after: null, body, text });
  return { calls, get: () => tickets_from({ call }, "/tickets")(new FakeFile(10, "Grüße.pdf"), "a/Grüße.pdf") };
}

for (const text of ["ticket-1", " ticket-1\n", '"ticket-1"', '{"ticket": "ticket-1"}']) {
  test(`an app may answer ${JSON.stringify(text)}`, async () => {
    const app = app_that_answers(200, text);
    assert.equal(await app.get(), "ticket-1");
    const [{ method, url, form }] = app.calls;
    assert.deepEqual([method, url], ["POST", "/tickets"]);
    assert.deepEqual(Object.fromEntries(form), { filename: "Grüße.pdf", length: "10", type: "application/pdf", relative_path: "a/Grüße.pdf" });
  });
}

for (const [status, text, expected] of [
  [200, "<!doctype html><title>Sign in</title>", { code: "bad_answer" }],
  [200, "", { code: "bad_answer" }],
  [413, "At most 5 GB, please", { code: "http_413", message: "At most 5 GB, please" }],
  [500, "<h1>Traceback</h1>", { code: "http_500", message: "The server answered with status 500" }],
  [403, '{"detail": "CSRF token missing", "code": "csrf"}', { code: "http_403", message: "CSRF token missing", status: 403 }],
]) {
  test(`an app that answers ${status} ${text} gives no ticket`, async () => {
    await assert.rejects(app_that_answers(status, text).get(), expected);
  });
}

// ---- other tabs

test("an upload that goes on in another tab is paused in the first, which can take it back", async () => {
  const browser = new FakeBrowser();
  const server = new FakeServer();
  hold_chunks(server);
  const first = arrange({ browser, server });
  first.uploader.start();
  await settle();
  const second = arrange({ browser, server });
  second.uploader.start();
  await settle();
  assert.deepEqual([first.uploader.paused, first.uploader.trouble_code], [true, "in_another_tab"]);
  assert.equal(first.uploader.state_msg, "Paused: This upload goes on in another tab or window");
  assert.equal(second.uploader.connected, true);
  first.uploader.pause("unpause");
  await settle();
  assert.deepEqual([first.uploader.connected, second.uploader.paused], [true, true]);
});

test("a tab that has lost the line does not take the upload back from the one that has it", async () => {
  const browser = new FakeBrowser();
  const server = new FakeServer();
  const first = arrange({ browser, server });
  server.intercept = line_lost;
  first.uploader.start();
  await settle();
  hold_chunks(server);
  const second = arrange({ browser, server });
  second.uploader.start();
  await settle();
  await first.surroundings.advance(600);
  assert.deepEqual([first.uploader.paused, second.uploader.connected], [true, true]);
});

test("a paused, cancelled or finished upload belongs to no tab", async () => {
  const { uploader, browser, server, surroundings } = arrange({ length: 4 });
  hold_chunks(server);
  uploader.start();
  assert.equal(browser.claims.size, 0);
  await settle();
  assert.deepEqual([...browser.claims.keys()], ["http://host/incoming/frontend/uploads/ticket-1"]);
  uploader.pause("pause");
  await settle();
  assert.equal(browser.claims.size, 0);
  server.intercept = (request, normal) => normal();
  uploader.pause("unpause");
  await settle();
  assert.deepEqual([uploader.phase, browser.claims.size], ["handing_over", 0]);
  server.finish();
  await surroundings.advance(5);
  assert.equal(browser.claims.size, 0);
});

// ---- after a reload

/** The same page again: what it finds, with a server per ticket. */
async function reload({ browser, server, surroundings, shared }) {
  const resume = ({ frontend_url, upload_id, relative_path }, file, file_handle) =>
    new Uploader(shared, { frontend_url, ticket: upload_id, file, relative_path, file_handle, remember: true });
  return find_resumable({ ...shared, running: new Set(), transport: server.transport, surroundings }, resume);
}

/** Half an upload, and then the browser crashed. */
async function crashed_in_the_middle({ length = 10 } = {}) {
  const all = arrange({ length, relative_path: "a/report.pdf" });
  let puts = 0;
  all.server.intercept = (request, normal) => (request.method === "PUT" && ++puts > 1 ? never() : normal());
  all.uploader.start();
  await settle();
  all.server.intercept = (request, normal) => normal();
  all.browser.claims.clear();
  return all;
}

test("an unfinished upload is found again with what the server has of it", async () => {
  const all = await crashed_in_the_middle();
  const found = await reload(all);
  assert.equal(found.length, 1);
  const [{ upload_id, filename, relative_path, bytes_total, bytes_acked, in_another_tab, has_file_handle }] = found;
  assert.deepEqual([upload_id, filename, relative_path], ["ticket-1", "report.pdf", "a/report.pdf"]);
  assert.deepEqual([bytes_total, bytes_acked, in_another_tab, has_file_handle], [10, 4, false, false]);
});

test("with the same file it goes on from what is missing, on the same ticket", async () => {
  const all = await crashed_in_the_middle();
  const [found] = await reload(all);
  const before = all.server.requests.length;
  const uploader = await found.resume(new FakeFile(10));
  assert.equal(all.server.requests.length, before, "not before start()");
  uploader.start();
  await settle();
  const sent = all.server.requests.slice(before).filter(({ method }) => method === "PUT").map(({ start, stop }) => [start, stop]);
  assert.deepEqual(sent, [[4, 8], [8, 10]]);
  assert.deepEqual(await reload(all), [], "nothing is left to go on with");
});

for (const [what, change] of [
  ["name", (file) => (file.name = "other.pdf")],
  ["length", (file) => (file.size = 11)],
  ["time", (file) => (file.lastModified += 1000)],
]) {
  test(`a file of another ${what} is refused before anything is sent`, async () => {
    const all = await crashed_in_the_middle();
    const [found] = await reload(all);
    const other = new FakeFile(10);
    change(other);
    assert.deepEqual([found.matches(new FakeFile(10)), found.matches(other)], [true, false]);
    await assert.rejects(found.resume(other), { code: "file_changed" });
    assert.equal((await reload(all)).length, 1, "it can still go on with the right one");
  });
}

for (const [what, answer] of [
  ["forgotten", () => refusal(404, "unknown_upload")],
  ["cancelled", (_, normal) => ({ ...normal(), body: { ...normal().body, state: "CANCELLED" } })],
  ["completely", (_, normal) => ({ ...normal(), body: { ...normal().body, state: "FINISHED" } })],
]) {
  test(`what the server has ${what} is not offered, and is forgotten`, async () => {
    const all = await crashed_in_the_middle();
    all.server.intercept = answer;
    assert.deepEqual(await reload(all), []);
    assert.deepEqual(Object.keys(all.browser.storage), []);
  });
}

test("what the server cannot be asked about is offered all the same", async () => {
  const all = await crashed_in_the_middle();
  all.server.intercept = line_lost;
  const [found] = await reload(all);
  assert.deepEqual([found.filename, found.bytes_acked, found.expires_at], ["report.pdf", null, null]);
});

test("what this very page is sending is not left over", async () => {
  const all = arrange({ length: 10 });
  hold_chunks(all.server);
  all.uploader.start();
  await settle();
  assert.deepEqual(await find_resumable(all.shared, null), []);
});

test("a database that never answers keeps nobody waiting for long", async () => {
  const all = await crashed_in_the_middle();
  const [key] = Object.keys(all.browser.storage);
  all.browser.storage.setItem(key, JSON.stringify({ ...JSON.parse(all.browser.storage.getItem(key)), has_handle: true }));
  all.surroundings.databases = () => ({ open: () => ({}) });
  const found = reload(all);
  await all.surroundings.advance(3);
  assert.equal((await found)[0].has_file_handle, false);
});

test("what is complete meanwhile cannot be discarded, and it is said", async () => {
  const all = await crashed_in_the_middle();
  const [found] = await reload(all);
  all.server.state = "HANDING_OVER";
  await assert.rejects(found.discard(), { code: "wrong_state" });
});

test("what is being sent in another tab says so", async () => {
  const all = await crashed_in_the_middle();
  all.browser.claims.set("http://host/incoming/frontend/uploads/ticket-1", { on_lost() {} });
  const [found] = await reload(all);
  assert.equal(found.in_another_tab, true);
});

test("what is discarded is cancelled on the server, and forgotten", async () => {
  const all = await crashed_in_the_middle();
  const [found] = await reload(all);
  await found.discard("wrong file");
  assert.deepEqual([all.server.state, all.server.reason], ["CANCELLED", "wrong file"]);
  assert.deepEqual(await reload(all), []);
});

test("what cannot be discarded now is not forgotten", async () => {
  const all = await crashed_in_the_middle();
  const [found] = await reload(all);
  all.server.intercept = line_lost;
  await assert.rejects(found.discard(), { code: "network_error" });
  all.server.intercept = (request, normal) => normal();
  assert.equal((await reload(all)).length, 1);
});

test("an upload whose file could not be read any more can go on later", async () => {
  const all = arrange({ length: 10 });
  all.server.intercept = (request, normal) => {
    if (request.method !== "PUT" || request.start === 0) return normal();
    all.file.readable = false;
    return line_lost();
  };
  all.uploader.start();
  await settle_all();
  assert.equal(all.uploader.error_code, "file_unreadable");
  all.server.intercept = (request, normal) => normal();
  assert.equal((await reload(all)).length, 1);
});

for (const [what, storage] of [
  ["is forbidden", () => null],
  [
    "is full",
    () => ({
      setItem() {
        throw new Error("QuotaExceededError");
      },
      removeItem() {},
    }),
  ],
]) {
  test(`an upload works where storage ${what}`, async () => {
    const all = arrange({ length: 4 });
    all.surroundings.storage = storage;
    all.uploader.start();
    await settle();
    assert.equal(all.uploader.frac_complete, 1);
    assert.deepEqual(await reload(all), []);
  });
}

test("notes of others in the same storage are left alone", async () => {
  const all = await crashed_in_the_middle();
  all.browser.storage.setItem("theme", "dark");
  all.browser.storage.setItem("incoming_wsgi x", "{");
  assert.equal((await reload(all)).length, 1);
  assert.equal(all.browser.storage.getItem("theme"), "dark");
});
