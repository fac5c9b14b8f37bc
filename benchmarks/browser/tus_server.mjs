/**
 * @tus/server with its file store, as its README starts it, and the pages of its clients.
 *
 *     node tus_server.mjs PORT PAGES CLIENTS
 */

import { readFileSync } from "node:fs";
import { createServer } from "node:http";

import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [port, pages, clients] = process.argv.slice(2);
const PAGES = new Map([
  ["/tus.html", ["text/html", readFileSync(`${pages}/tus.html`)]],
  ["/uppy.html", ["text/html", readFileSync(`${pages}/uppy.html`)]],
  ["/page.js", ["text/javascript", readFileSync(`${pages}/page.js`)]],
  ["/tus.js", ["text/javascript", readFileSync(`${clients}/tus.js`)]],
  ["/uppy.js", ["text/javascript", readFileSync(`${clients}/uppy.js`)]],
]);
const directory = `${process.env.BENCHMARK_FOLDER}/files`;
const uploads = new Server({ path: "/files", datastore: new FileStore({ directory }) });

createServer((request, response) => {
  if (request.url.startsWith("/files")) return uploads.handle(request, response);
  const [type, bytes] = PAGES.get(request.url) ?? [];
  if (type === undefined) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": type, "Cache-Control": "no-store" }).end(bytes);
}).listen(Number(port), "127.0.0.1");
