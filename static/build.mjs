/**
 * Bundle static/src into the four files that are served: `node static/build.mjs [out folder]`.
 *
 * The library comes without comments and spaces, but with every name: people look into what runs in
 * their pages, and a stack trace should say something. The element comes with the library in it and
 * is minified as far as it goes. Browsers of 2022 and later understand both as they are.
 */

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";
import { minify } from "terser";

const here = fileURLToPath(new URL(".", import.meta.url));

/** The style sheet is a mere text to esbuild, unless it is told. */
const minified_style = {
  name: "minified style",
  setup({ onLoad }) {
    onLoad({ filter: /widget\/style\.js$/ }, async ({ path }) => {
      const [before, css, after] = (await readFile(path, "utf8")).split(/(?<== )`([^`]*)`/);
      const { code } = await transform(css, { loader: "css", minify: true });
      return { contents: before + JSON.stringify(code.trim()) + after };
    });
  },
};

// Names in snake_case are ours, for the browser's own are in camelCase; so they can be made short, but
// for those that are seen from outside: by pages (in the types), by the server, in the notebook.
const OUR_NAME = /^(_[a-z_]+|[a-z0-9]+(_[a-z0-9]+)+)$/;
const SEEN_BY_SERVER = ["chunk_bytes", "file_tag", "last_modified", "max_chunk_bytes", "send_ahead"];
const IN_NOTEBOOK = ["begun_at", "frontend_url", "has_handle"];

async function find_seen_names() {
  const types = await Promise.all(["incoming.d.ts", "incoming-upload.d.ts"].map((name) => readFile(`${here}/${name}`, "utf8")));
  const names = types.join(" ").match(/\w+_\w+/g) ?? [];
  return new RegExp(`^(${[...new Set([...names, ...SEEN_BY_SERVER, ...IN_NOTEBOOK])].join("|")})$`);
}

/** @param {string} out_folder */
export async function build_library(out_folder) {
  const bundle = (entry, file_name, format, options = {}) =>
    build({
      absWorkingDir: here,
      entryPoints: [`src/${entry}`],
      outfile: `${out_folder}/${file_name}`,
      format,
      bundle: true,
      target: "es2022",
      minifyWhitespace: true,
      minifySyntax: true,
      charset: "utf8",
      banner: { js: "// incoming_wsgi browser library, MIT license. Built from static/src." },
      ...options,
    });
  await bundle("global.js", "incoming.js", "iife");
  await bundle("module.js", "incoming.mjs", "esm");
  for (const [entry, file_name, format] of [
    ["widget/global.js", "incoming-upload.js", "iife"],
    ["widget/module.js", "incoming-upload.mjs", "esm"],
  ]) {
    const short_names = { mangleProps: OUR_NAME, reserveProps: await find_seen_names() };
    await bundle(entry, file_name, format, { minify: true, plugins: [minified_style], ...short_names });
    const path = `${out_folder}/${file_name}`;
    const module = format === "esm";
    const { code } = await minify(await readFile(path, "utf8"), { module, compress: { passes: 3 }, format: { comments: /MIT/ } });
    await writeFile(path, `${code}\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build_library(process.argv[2] ?? here);
