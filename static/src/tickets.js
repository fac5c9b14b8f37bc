/**
 * Getting a ticket when it is needed.
 *
 * A page may give an uploader a function instead of a ticket; then a thousand chosen files do not
 * mean a thousand tickets that grow old in the queue. A function that fails is treated as a request
 * that fails: what may pass is tried again, what will not ends the upload with the app's own words.
 */

import { NoTicket, RequestFailure, read_refusal } from "./errors.js";

/** @typedef {import("./transport.js").Transport} Transport */
/** @typedef {string | ((file: File, relative_path: string | null) => string | Promise<string>)} Ticket */

const TICKET = /^[\w-]{1,128}$/;
// More would be the page of somebody else, or no text for a person.
const LONGEST_WORDS = 300;

/**
 * @param {Ticket} ticket
 * @param {File} file
 * @param {string | null} relative_path
 * @returns {Promise<string>} rejects with UploadFailure
 */
export async function get_ticket(ticket, file, relative_path) {
  if (typeof ticket === "string") return ticket;
  let got;
  try {
    got = await ticket(file, relative_path);
  } catch (/** @type {any} */ error) {
    if (error instanceof RequestFailure && may_pass(error)) throw error;
    // What fetch throws without a line, and everything else.
    if (error instanceof TypeError) throw new RequestFailure({ status: 0, code: "network_error", message: error.message });
    throw new NoTicket(error?.message);
  }
  if (typeof got !== "string" || got === "") throw new NoTicket();
  return got;
}

/**
 * The app's own answers are meant: unlike on the way of a chunk, a 404 or a 413 is a refusal.
 *
 * @param {RequestFailure} failure
 */
const may_pass = ({ status, code }) =>
  status >= 500 || [0, 401, 403, 407, 408, 425, 429].includes(status) || code === "bad_answer";

/**
 * A function that asks the app for tickets.
 *
 * @param {Transport} transport
 * @param {string} url
 * @returns {(file: File, relative_path?: string | null) => Promise<string>} rejects with RequestFailure
 */
export function tickets_from(transport, url) {
  return async (file, relative_path = file.webkitRelativePath) => {
    const form = new URLSearchParams({
      filename: file.name,
      length: String(file.size),
      type: file.type,
      relative_path: relative_path ?? "",
    });
    const { signal } = new AbortController(); // the uploader stops listening, that is enough
    const answer = await transport.call({ method: "POST", url, form, signal });
    const { status, body } = answer;
    const words = answer.text.trim();
    if (status < 200 || status > 299) {
      const { message, retry_after_s } = read_refusal(answer);
      const is_readable = body === null && words.length > 0 && words.length <= LONGEST_WORDS && !words.startsWith("<");
      throw new RequestFailure({ status, message: is_readable ? words : message, retry_after_s });
    }
    const ticket = body?.ticket ?? body ?? words;
    if (typeof ticket !== "string" || !TICKET.test(ticket)) {
      throw new RequestFailure({ status, code: "bad_answer", message: "Somebody else answered in the application's place" });
    }
    return ticket;
  };
}
