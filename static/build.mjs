/**
 * Bundle static/src into the four files that are served: `node static/build.mjs [out folder]`.
 *
 * The library comes without comments and spaces, but with every name: people look into what runs in
 * their pages, and a stack trace should say something. The element comes with the library in it and
 * is minified; it has to be quick. Browsers of 2022 and later understand both as they are.
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

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
      banner: { js: "// incoming_wsgi browser library, MIT license. Generated from static/src by npm run build." },
      ...options,
    });
  const minified = { minify: true, plugins: [minified_style] };
  await bundle("global.js", "incoming.js", "iife");
  await bundle("module.js", "incoming.mjs", "esm");
  await bundle("widget/global.js", "incoming-upload.js", "iife", minified);
  await bundle("widget/module.js", "incoming-upload.mjs", "esm", minified);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build_library(process.argv[2] ?? here);
