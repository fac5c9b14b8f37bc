/**
 * Bundle static/src into the two files that are served: `node static/build.mjs [out folder]`.
 *
 * Without comments and spaces, but with every name: people look into what runs in their pages, and a
 * stack trace should say something. Browsers of 2022 and later understand it as it is.
 */

import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));

/** @param {string} out_folder */
export async function build_library(out_folder) {
  const bundle = (entry, file_name, format) =>
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
    });
  await bundle("global.js", "incoming.js", "iife");
  await bundle("module.js", "incoming.mjs", "esm");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build_library(process.argv[2] ?? here);
