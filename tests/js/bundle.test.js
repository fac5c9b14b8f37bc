/** The files that are served: up to date, and fit for any page. */

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";

import { build_library } from "../../static/build.mjs";
import { FakeFile, settle } from "./fakes.js";

const NAMES = ["Uploader", "configure", "resumable", "set_server_hostname", "tickets_from"];

const committed = (name) => readFile(new URL(`../../static/${name}`, import.meta.url), "utf8");

/** A page with the script in it, as far as the script can see. */
async function load_page({ script_url, page_url = "http://app.example/page" }) {
  const { protocol, origin, host } = new URL(page_url);
  const fetched = [];
  const globals = {
    document: { currentScript: script_url === null ? null : { src: script_url } },
    location: { href: page_url, protocol, origin, host },
    fetch: (url) => {
      fetched.push(url);
      return new Promise(() => {});
    },
    ...{ URL, URLSearchParams, AbortController, Event, EventTarget, performance, setTimeout: () => 0, clearTimeout() {} },
    ...{ navigator: {}, addEventListener() {}, removeEventListener() {} },
  };
  const before = Object.keys(globals);
  runInNewContext(await committed("incoming.js"), globals, { contextCodeGeneration: { strings: false, wasm: false } });
  return { incoming: globals.incoming, fetched, added: Object.keys(globals).filter((name) => !before.includes(name)) };
}

for (const name of ["incoming.js", "incoming.mjs", "incoming-upload.js", "incoming-upload.mjs"]) {
  test(`${name} is what npm run build makes of the sources`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "incoming-bundle-"));
    try {
      await build_library(folder);
      assert.equal(await readFile(join(folder, name), "utf8"), await committed(name));
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test(`${name} needs nothing that a strict content security policy forbids`, async () => {
    const text = await committed(name);
    assert.doesNotMatch(text, /\beval\s*\(|new Function|\.(inner|outer)HTML|insertAdjacentHTML|javascript:/);
    // The element makes nodes and sets lengths, both by the DOM, which no policy forbids.
    if (name.includes("upload")) assert.doesNotMatch(text, /["'`]style["'`]|cssText/);
    else assert.doesNotMatch(text, /\.style\b|createElement/);
  });
}

test("the element and the library in it take no more than 20 KiB of a line", async () => {
  for (const name of ["incoming-upload.js", "incoming-upload.mjs"]) {
    const { length } = gzipSync(await committed(name), { level: 9 });
    assert.ok(length <= 20 * 1024, `${name}: ${length}`);
  }
});

test("the module of the element exports the library too, and can be imported where there is no page", async () => {
  const exports = Object.keys(await import("../../static/incoming-upload.mjs"));
  assert.deepEqual(exports.sort(), [
    "IncomingUploadElement",
    "Uploader",
    "configure",
    "resumable",
    "set_server_hostname",
    "tickets_from",
  ]);
});

test("a script tag defines the global incoming and nothing else", async () => {
  const { incoming, added, fetched } = await load_page({ script_url: "http://up.example/incoming/0.1/frontend/incoming.js" });
  assert.deepEqual(added, ["incoming"]);
  assert.deepEqual(Object.keys(incoming).sort(), NAMES);
  await settle();
  assert.deepEqual(fetched, []);
});

test("the module can be imported where there is no page, and exports the same names", async () => {
  assert.deepEqual(Object.keys(await import("../../static/incoming.mjs")).sort(), NAMES);
});

test("uploads go to where the script came from", async () => {
  const { incoming, fetched } = await load_page({ script_url: "http://up.example/files/0.1/frontend/incoming.js" });
  incoming.Uploader("t-1", new FakeFile(3)).start();
  await settle();
  assert.deepEqual(fetched, ["http://up.example/files/0.1/frontend/uploads/t-1"]);
});

test("a script from nowhere finds the server on the page's own host", async () => {
  const { incoming, fetched } = await load_page({ script_url: null });
  incoming.Uploader("t-1", new FakeFile(3)).start();
  await settle();
  assert.deepEqual(fetched, ["http://app.example/incoming/frontend/uploads/t-1"]);
});

test("the page can name the server; its own protocol decides on TLS", async () => {
  const { incoming, fetched } = await load_page({
    script_url: "http://up.example/incoming/frontend/incoming.js",
    page_url: "https://app.example/",
  });
  const before = incoming.Uploader("t-1", new FakeFile(3));
  incoming.set_server_hostname("big.example:4000");
  incoming.Uploader("t-2", new FakeFile(3)).start();
  await settle();
  before.start();
  await settle();
  assert.deepEqual(fetched, [
    "https://big.example:4000/incoming/frontend/uploads/t-2",
    "http://up.example/incoming/frontend/uploads/t-1",
  ]);
});

test("the page can name another mount, for a library that came in a bundle", async () => {
  const { incoming, fetched } = await load_page({ script_url: null });
  incoming.configure({ server_url: "https://big.example/files/" });
  incoming.Uploader("t-1", new FakeFile(3)).start();
  await settle();
  assert.deepEqual(fetched, ["https://big.example/files/frontend/uploads/t-1"]);
});

for (const changes of [{ files_at_once: 0 }, { files_at_once: 1.5 }, { chunks_at_once: "4" }, { server_url: "" }, { remember: 1 }, { lanes: 3 }]) {
  test(`configure() takes no ${JSON.stringify(changes)}`, async () => {
    const { incoming } = await load_page({ script_url: null });
    assert.throws(() => incoming.configure(changes), { name: "TypeError" });
  });
}

for (const [name, ticket, file] of [
  ["a file", "t-1", null],
  ["a file", "t-1", "report.pdf"],
  ["a ticket", "", new FakeFile(1)],
  ["a ticket", undefined, new FakeFile(1)],
]) {
  test(`an uploader without ${name} is a mistake of the page: ${ticket}, ${file?.name ?? file}`, async () => {
    const { incoming } = await load_page({ script_url: null });
    assert.throws(() => incoming.Uploader(ticket, file), { name: "TypeError" });
  });
}

for (const host of [undefined, "http://up.example", "", "up.example/incoming", "a b"]) {
  test(`"${host}" is no host[:port]`, async () => {
    const { incoming } = await load_page({ script_url: null });
    assert.throws(() => incoming.set_server_hostname(host), { name: "TypeError" });
  });
}

test("an uploader is made with and without new", async () => {
  const { incoming } = await load_page({ script_url: null });
  for (const uploader of [new incoming.Uploader("t", new FakeFile(3)), incoming.Uploader("t", new FakeFile(3))]) {
    assert.equal(uploader.bytes_total, 3);
    assert.ok(uploader instanceof incoming.Uploader);
    assert.equal(uploader.start(), uploader);
  }
});
