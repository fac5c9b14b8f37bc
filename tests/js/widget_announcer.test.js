/** What is said aloud, and how little that is. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { create_announcer, create_voice } from "../../static/src/widget/announcer.js";
import { create_format } from "../../static/src/widget/format.js";
import { create_texts } from "../../static/src/widget/texts.js";

function listen() {
  const format = create_format("en");
  const words = { format, ...create_texts({}, format) };
  const said = [];
  const alarms = [];
  const clock = { now_s: 0 };
  const announcer = create_announcer({
    words: () => words,
    speak: (sentence) => said.push(sentence),
    alarm: (sentence) => alarms.push(sentence),
    now_s: () => clock.now_s,
  });
  return { announcer, said, alarms, clock };
}

const upload = (filename, facts = {}) => ({
  filename,
  phase: "uploading",
  bytes_total: 100,
  bytes_acked: 0,
  bytes_tx: 0,
  ...facts,
});

test("one file: the start, each quarter, the end", () => {
  const { announcer, said, clock } = listen();
  const file = upload("a.pdf");
  for (let percent = 0; percent <= 100; percent += 1) {
    clock.now_s += 1;
    file.bytes_acked = percent;
    announcer.update([file], []);
  }
  file.phase = "finished";
  announcer.update([file], []);
  assert.deepEqual(said, ["Uploading a.pdf", "a.pdf: 25%", "a.pdf: 50%", "a.pdf: 75%", "a.pdf is uploaded"]);
});

test("a short upload has a start and an end", () => {
  const { announcer, said, clock } = listen();
  const file = upload("a.pdf");
  for (const bytes_acked of [0, 30, 60, 90]) {
    clock.now_s += 0.5;
    file.bytes_acked = bytes_acked;
    announcer.update([file], []);
  }
  file.phase = "finished";
  announcer.update([file], []);
  assert.deepEqual(said, ["Uploading a.pdf", "a.pdf is uploaded"]);
});

test("many files are summed up, failures too", () => {
  const { announcer, said, alarms, clock } = listen();
  const files = Array.from({ length: 100 }, (_, number) => upload(`${number}.pdf`));
  announcer.update(files, []);
  clock.now_s += 100;
  for (const file of files.slice(0, 60)) Object.assign(file, { phase: "finished", bytes_acked: 100 });
  announcer.update(files, []);
  for (const file of files.slice(60)) file.phase = "failed";
  announcer.update(files, files.slice(60).map(({ filename }) => [filename, "no"]));
  announcer.update(files, []);
  assert.deepEqual(said, ["Uploading 100 files", "100 files: 50%", "60 files are uploaded"]);
  assert.deepEqual(alarms, ["40 files could not be uploaded"]);
});

test("a failure alone has its reason", () => {
  const { announcer, said, alarms } = listen();
  const file = upload("a.pdf");
  announcer.update([file], []);
  file.phase = "failed";
  announcer.update([file], [["a.pdf", "The disk is full."]]);
  assert.deepEqual([said, alarms], [["Uploading a.pdf"], ["a.pdf: The disk is full."]]);
});

test("a pause is told when nothing goes on any more, once", () => {
  const { announcer, said } = listen();
  const files = [upload("a"), upload("b")];
  announcer.update(files, []);
  files[0].phase = "paused";
  announcer.update(files, []);
  files[1].phase = "paused";
  announcer.update(files, []);
  announcer.update(files, []);
  assert.deepEqual(said, ["Uploading 2 files", "2 uploads are paused"]);
});

test("the one that has come is called by its own name", () => {
  const { announcer, said } = listen();
  const files = [upload("a"), upload("b")];
  announcer.update(files, []);
  files[0].phase = "cancelled";
  files[1].phase = "finished";
  announcer.update(files, []);
  assert.equal(said.at(-1), "b is uploaded");
});

test("what was over before is not said again", () => {
  const { announcer, said } = listen();
  const old = upload("old", { phase: "finished" });
  announcer.update([old], []);
  const file = upload("new");
  announcer.update([old, file], []);
  file.phase = "finished";
  announcer.update([old, file], []);
  announcer.update([old, file], []);
  assert.deepEqual(said, ["Uploading new", "new is uploaded"]);
});

test("of sentences within a moment the last is spoken, and the same one can be spoken twice", () => {
  const timers = [];
  const region = { textContent: "" };
  const speak = create_voice(region, (callback) => timers.push(callback));
  speak("one");
  speak("two");
  timers.shift()();
  assert.equal(region.textContent, "two");
  speak("two");
  assert.equal(region.textContent, "");
  timers.shift()();
  assert.equal(region.textContent, "two");
  assert.equal(timers.length, 0);
});
