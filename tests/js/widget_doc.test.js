/** docs/widget.md names all there is, and the types do. */

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";

import { create_element_class } from "../../static/src/widget/element.js";
import { DEFAULT_TEXTS } from "../../static/src/widget/texts.js";

const read = (path) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");
const folder = "static/src/widget/";
const names = await readdir(new URL(`../../${folder}`, import.meta.url));
const source = (await Promise.all(names.map((name) => read(folder + name)))).join("\n");
const document = await read("docs/widget.md");
const types = await read("static/incoming-upload.d.ts");
const Element = create_element_class({}, {}, class {});

/** Everything that the first group of `pattern` catches, words apart. */
const caught = (pattern) => [...new Set([...source.matchAll(pattern)].flatMap(([, words]) => words.split(" ")))];
const mentioned = (text) => [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code.replace(/\(.*\)/, ""));
const section = (title) => document.split(`\n## ${title}\n`)[1].split("\n## ")[0];

function assert_all_in(wanted, text) {
  const present = new Set(mentioned(text));
  assert.deepEqual(wanted.filter((word) => !present.has(word)), []);
}

test("every attribute, and no other, is in the document", () => {
  const rows = [...section("Attributes").matchAll(/^\| `([\w-]+)`/gm)].map(([, name]) => name);
  assert.deepEqual(rows.sort(), [...Element.observedAttributes].sort());
});

test("every property and method is in the document and in the types", () => {
  const own = Object.getOwnPropertyNames(Element.prototype);
  const names = own.filter((name) => !/^_|^constructor$|Callback$/.test(name)).concat("tickets");
  const attributes = Element.observedAttributes.map((name) => name.replace("-", "_"));
  assert_all_in(names.filter((name) => !attributes.includes(name)), section("Properties and methods"));
  for (const name of names) assert.match(types, new RegExp(`^  (readonly )?${name}[:(]`, "m"));
});

test("every event is in the document and in the types", () => {
  const events = caught(/dispatch\("([\w-]+)"/g);
  for (const type of ["finished", "cancelled", "error"]) events.push(`incoming-${type}`);
  assert.ok(events.length === 5, String(events));
  assert_all_in(events, section("Events"));
  for (const name of events) assert.ok(types.includes(`"${name}": CustomEvent`), name);
});

test("every custom property is in the document", () => {
  const properties = caught(/var\((--incoming-[\w-]+)/g);
  assert.ok(properties.length > 8);
  assert_all_in(properties, section("Looks"));
});

test("every part is in the document", () => {
  const parts = caught(/\bpart: "([\w -]+)"/g).concat(caught(/create_chooser\("([\w -]+)"/g));
  const actions = source.match(/ACTION_ICONS = \{(.*?)\}/s)[1].match(/^  \w+/gm);
  for (const action of actions) parts.push(action.trim().replace("_", "-"));
  assert.ok(parts.length > 25, String(parts));
  assert_all_in([...parts, "action"], section("Looks"));
});

test("every text is in the document with its English words, and in the types", () => {
  const rows = new Map([...section("Texts").matchAll(/^\| `(\w+)` \| (.*?) \|/gm)].map(([, key, english]) => [key, english]));
  assert.deepEqual([...rows.keys()], Object.keys(DEFAULT_TEXTS));
  for (const [key, text] of Object.entries(DEFAULT_TEXTS)) {
    for (const words of typeof text === "string" ? [text] : Object.values(text)) {
      assert.ok(rows.get(key).includes(words), key);
    }
    if (!/^(error|trouble)_/.test(key)) assert.ok(types.includes(`| "${key}"`), key);
  }
});

test("every text is used", () => {
  for (const key of Object.keys(DEFAULT_TEXTS).filter((key) => !/^(error|trouble)_/.test(key))) {
    const uses = source.split(new RegExp(`"${key}"|^  ${key}: "\\w+",$`, "m")).length - 1;
    assert.ok(uses > 0, key);
  }
});
