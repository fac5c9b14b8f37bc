/**
 * Where the server's frontend is, worked out from where this script came from.
 *
 * The server serves the script beside the upload resource, `<base>incoming.js` and
 * `<base>uploads/{id}`, so any mount prefix, version segment and origin is found without being
 * configured. Values only.
 */

// Where the server is mounted by convention, for a script that came from elsewhere (a bundler).
const CONVENTIONAL_PATH = "/incoming/frontend/";

/**
 * @param {object} place
 * @param {string | null} place.script_url of this library, null if unknown
 * @param {string} place.page_url
 * @param {string | null} place.hostname host[:port] that the page has set
 * @param {string | null} place.server_url the mount that the page has set, absolute or relative to it
 * @returns {string} the base URL, with a slash at its end
 */
export function find_frontend_url({ script_url, page_url, hostname, server_url }) {
  if (server_url !== null) return new URL(`${server_url.replace(/\/+$/, "")}/frontend/`, page_url).href;
  const script_base = script_url === null ? null : find_script_base(script_url);
  const path = script_base?.pathname ?? CONVENTIONAL_PATH;
  const page = new URL(page_url);
  if (hostname !== null) return `${page.protocol}//${hostname}${path}`;
  return `${script_base?.origin ?? page.origin}${path}`;
}

/**
 * @param {string} script_url
 * @returns {URL | null} null if the script was not served by the frontend of a server
 */
function find_script_base(script_url) {
  const [, base] = script_url.match(/^(https?:[^?#]*\/frontend\/)/) ?? [];
  return base === undefined ? null : new URL(base);
}
