/** What a drop or an input holds, over stand-ins for what a browser gives. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { files_of_drop, files_of_input, is_accepted } from "../../static/src/widget/files.js";

const file_entry = (name, path) => ({ isDirectory: false, name, fullPath: path, file: (resolve) => resolve({ name }) });

/** As Chromium does it: some entries a call, then an empty list. */
function folder_entry(name, path, children, { at_once = 100 } = {}) {
  const createReader = () => {
    const left = [...children];
    return { readEntries: (resolve) => setImmediate(() => resolve(left.splice(0, at_once))) };
  };
  return { isDirectory: true, name, fullPath: path, createReader };
}

/** The items of a drop are dead as soon as the event is over. */
function drop(...entries) {
  let over = false;
  const alive = (value) => {
    assert.equal(over, false, "an item was used after the event");
    return value;
  };
  const items = entries.map(({ handle, ...entry }) => ({
    kind: "file",
    webkitGetAsEntry: () => alive(entry),
    getAsFile: () => alive({ name: entry.name }),
    ...(handle === undefined ? {} : { getAsFileSystemHandle: () => alive(Promise.resolve(handle)) }),
  }));
  const promise = files_of_drop({ items: [...items, { kind: "string" }] });
  over = true;
  return promise;
}

test("everything is taken from a drop before its event is over", async () => {
  const { found } = await drop(file_entry("a", "/a"), file_entry("b", "/b"));
  assert.deepEqual(found, [{ file: { name: "a" } }, { file: { name: "b" } }]);
});

test("a folder is walked to its end, however many entries a call gives", async () => {
  const many = Array.from({ length: 250 }, (_, n) => file_entry(`${n}`, `/photos/day/${n}`));
  const day = folder_entry("day", "/photos/day", many);
  const { found } = await drop(folder_entry("photos", "/photos", [day, file_entry("z", "/photos/z")]));
  assert.equal(found.length, 251);
  assert.deepEqual(found[249], { file: { name: "249" }, relative_path: "photos/day/249" });
  assert.equal(found[250].relative_path, "photos/z");
});

test("what cannot be read is named, and the rest is found", async () => {
  const locked = { ...folder_entry("locked", "/photos/locked", []), createReader: () => ({ readEntries: (_, no) => no(new Error()) }) };
  const gone = { ...file_entry("gone", "/photos/gone"), file: (_, no) => no(new Error()) };
  const { found, unread } = await drop(folder_entry("photos", "/photos", [locked, gone, file_entry("a", "/photos/a")]));
  assert.deepEqual(found.map(({ file }) => file.name), ["a"]);
  assert.deepEqual(unread.sort(), ["gone", "locked"]);
});

test("a handle on a dropped file is kept where there is one", async () => {
  const handle = { kind: "file" };
  const { found } = await drop({ ...file_entry("a", "/a"), handle }, { ...file_entry("b", "/b"), handle: null });
  assert.deepEqual(found, [{ file: { name: "a" }, file_handle: handle }, { file: { name: "b" } }]);
});

test("a chosen folder tells where its files were", () => {
  const files = [{ name: "a", webkitRelativePath: "photos/a" }, { name: "b", webkitRelativePath: "" }];
  assert.deepEqual(files_of_input({ files }), [{ file: files[0], relative_path: "photos/a" }, { file: files[1] }]);
});

test("accept means for a drop what it means for an input", () => {
  const pdf = { name: "A.PDF", type: "application/pdf" };
  const bare = { name: "film.mkv", type: "" };
  for (const accept of ["", " ", ".pdf", "application/pdf", "application/*", "*/*", "image/*, .PDF"]) {
    assert.equal(is_accepted(pdf, accept), true, accept);
  }
  for (const accept of ["image/*", ".pd", "application/pd"]) assert.equal(is_accepted(pdf, accept), false, accept);
  assert.equal(is_accepted(bare, "video/*,.mkv"), true);
  assert.equal(is_accepted(bare, "video/*"), false);
});
