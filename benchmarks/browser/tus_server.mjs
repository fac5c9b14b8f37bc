/**
 * @tus/server with its file store, as its README starts it, and the pages of its clients.
 *
 *     node tus_server.mjs PORT FOLDER
 */

import { readFileSync } from "node:fs";
import { createServer } from "node:http";

import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [port, folder] = process.argv.slice(2);
const here = (path) => readFileSync(new URL(path, import.meta.url));
const PAGES = new Map([
  ["/tus.html", ["text/html", here("pages/tus.html")]],
  ["/uppy.html", ["text/html", here("pages/uppy.html")]],
  ["/page.js", ["text/javascript", here("pages/page.js")]],
  ["/tus.js", ["text/javascript", here("node_modules/tus-js-client/dist/tus.min.js")]],
  ["/uppy.js", ["text/javascript", here("build/uppy.js")]],
]);
const uploads = new Server({ path: "/files", datastore: new FileStore({ directory: folder }) });

createServer((request, response) => {
  if (request.url.startsWith("/files")) return uploads.handle(request, response);
  const [type, bytes] = PAGES.get(request.url) ?? [];
  if (type === undefined) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": type, "Cache-Control": "no-store" }).end(bytes);
}).listen(Number(port), "127.0.0.1");
