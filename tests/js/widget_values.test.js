/** The rooms of the element that know no page: numbers, texts, views, sums. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { create_format } from "../../static/src/widget/format.js";
import { is_at_risk, summarise } from "../../static/src/widget/summary.js";
import { create_texts, DEFAULT_TEXTS } from "../../static/src/widget/texts.js";
import { view_of_uploader } from "../../static/src/widget/views.js";

const english = create_format("en");
const words = (own = {}, format = english) => ({ format, ...create_texts(own, format) });
/** Numbers and their units are not torn apart; here that does not matter. */
const plain = (text) => text.replaceAll("\u00a0", " ").replaceAll("\u202f", " ");

const uploader = (facts) => ({
  phase: "uploading",
  bytes_total: 1000,
  bytes_acked: 0,
  bytes_tx: 0,
  bytes_per_s: null,
  seconds_left: null,
  handing_over: false,
  can_pause: true,
  can_cancel: true,
  ...facts,
});

test("bytes are counted in decimal units, with three digits", () => {
  const cases = { 0: "0 byte", 999: "999 byte", 1000: "1 kB", 1234567: "1.23 MB", 999999999: "1 GB", 8e13: "80 TB" };
  for (const [bytes, text] of Object.entries(cases)) assert.equal(plain(english.bytes(Number(bytes))), text);
});

test("numbers are written in the language of the document", () => {
  assert.equal(plain(create_format("de").bytes(1.5e9)), "1,5 GB");
  assert.equal(plain(create_format("fr").bytes(1.5e9)), "1,5 Go");
});

test("a language that is none is that of the browser", () => {
  for (const language of ["english please", "", undefined]) {
    assert.equal(typeof create_format(language).bytes(5), "string");
  }
});

test("100 % means that nothing is missing", () => {
  assert.deepEqual([0, 0.29, 0.57, 0.9999, 1].map(english.percent), ["0%", "29%", "57%", "99%", "100%"]);
});

test("a time that is shown is enough", () => {
  const cases = { 0.2: "1 sec", 9: "9 sec", 41: "45 sec", 60: "60 sec", 61: "2 min", 3601: "2 hr", 90000: "2 days" };
  for (const [seconds, text] of Object.entries(cases)) assert.equal(plain(english.duration(Number(seconds))), text);
});

test("a text is a template, one for each plural category, or a function", () => {
  const { text } = words({
    pause: "Halt",
    say_started: { one: "un {count}", other: "many {count}" },
    amount: ({ stored }) => stored.toUpperCase(),
  });
  assert.equal(text("pause"), "Halt");
  assert.equal(text("resume"), DEFAULT_TEXTS.resume);
  assert.equal(text("say_started", { count: 1 }), "un 1");
  assert.equal(text("say_started", { count: 12345 }), "many 12,345");
  assert.equal(text("amount", { stored: "x", total: "y" }), "X");
});

test("plurals follow the language of the texts: own ones that of the document, the others English", () => {
  const { text } = words({ say_started: { one: "{count} plik", few: "{count} pliki", other: "x" } }, create_format("pl"));
  assert.equal(text("say_started", { count: 3 }), "3 pliki");
  assert.equal(text("say_finished", { count: 3, name: "a" }), "3 files are uploaded");
});

test("a value is put in once, whatever it looks like", () => {
  assert.equal(words().text("say_progress", { count: 1, name: "{percent} $& $1", percent: "50%" }), "{percent} $& $1: 50%");
});

test("a code without a text of its own has the words of the server", () => {
  const status = (facts) => {
    return view_of_uploader(uploader(facts), words(), { has_file: true, cancel_asked: false }).status;
  };
  assert.equal(status({ phase: "failed", error_code: "odd", error_msg: "The moon is full." }), "The moon is full.");
  assert.equal(status({ trouble_code: "odd", trouble_msg: "The moon is full." }), "The moon is full.");
  assert.equal(status({ trouble_code: "http_503", trouble_msg: "x" }), DEFAULT_TEXTS.trouble_server);
  const own = words({ error_odd: "Wait for the new moon." });
  const view = view_of_uploader(uploader({ phase: "failed", error_code: "odd" }), own, { has_file: true, cancel_asked: false });
  assert.equal(view.status, "Wait for the new moon.");
});

test("a failed upload offers only what may help", () => {
  const main = (error_code, has_file = true) => {
    const failed = uploader({ phase: "failed", error_code, can_pause: false, can_cancel: false });
    return view_of_uploader(failed, words(), { has_file, cancel_asked: false }).main;
  };
  assert.equal(main("http_500"), "retry");
  assert.equal(main("http_500", false), "choose_again");
  assert.equal(main("file_unreadable"), "choose_again");
  assert.equal(main("file_too_large"), null);
});

test("stored is never more than what the server has", () => {
  const facts = { has_file: true, cancel_asked: false };
  const view = view_of_uploader(uploader({ bytes_acked: 300, bytes_tx: 1000 }), words(), facts);
  assert.deepEqual([view.stored, view.sent], [0.3, 1]);
  assert.equal(view_of_uploader(uploader({ bytes_total: 0 }), words(), facts).stored, 0);
  assert.equal(view_of_uploader(uploader({ bytes_total: 0, phase: "finished" }), words(), facts).stored, 1);
});

test("the total counts what has come or still may, and failures apart", () => {
  const sum = summarise([
    uploader({ bytes_acked: 500, bytes_tx: 600, bytes_per_s: 50 }),
    uploader({ phase: "finished", bytes_acked: 1000, bytes_tx: 1000, can_pause: false }),
    uploader({ phase: "paused" }),
    uploader({ phase: "failed", bytes_acked: 900 }),
    uploader({ phase: "cancelled", bytes_acked: 900 }),
  ]);
  assert.deepEqual(
    [sum.count, sum.finished, sum.failed, sum.active, sum.paused, sum.over, sum.can_pause],
    [3, 1, 1, 2, 1, 3, 1],
  );
  assert.deepEqual([sum.bytes_acked, sum.bytes_total, sum.seconds_left], [1500, 3000, 30]);
  assert.deepEqual([sum.frac_stored, sum.frac_sent], [0.5, 1600 / 3000]);
});

test("of empty files the files are counted", () => {
  const empty = { bytes_total: 0, bytes_acked: 0, bytes_tx: 0 };
  assert.equal(summarise([uploader(empty), uploader({ ...empty, phase: "finished" })]).frac_stored, 0.5);
  assert.equal(summarise([]).frac_stored, 0);
});

test("something would be lost from the click until the server has all of it", () => {
  const risky = ["queued", "connecting", "uploading", "paused"];
  for (const phase of ["new", ...risky, "cancelling", "handing_over", "finished", "cancelled", "failed"]) {
    assert.equal(is_at_risk({ phase, handing_over: phase === "handing_over" }), risky.includes(phase), phase);
  }
  assert.equal(is_at_risk({ phase: "connecting", handing_over: true }), false);
});
