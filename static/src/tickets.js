/**
 * Getting a ticket when it is needed.
 *
 * A page may give an uploader a function instead of a ticket; then a thousand chosen files do not
 * mean a thousand tickets that grow old in the queue. A function that fails is treated as a request
 * that fails: what may pass is tried again, what will not ends the upload with the app's own words.
 */

import { NoTicket, RequestFailure, UploadFailure, read_refusal, verdict } from "./errors.js";

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
    if (error instanceof UploadFailure) {
      throw verdict(error) === "fatal" ? new NoTicket(error.message) : error;
    }
    // What fetch throws without a line, and everything else.
    if (error instanceof TypeError) throw new RequestFailure({ status: 0, code: "network_error", message: error.message });
    throw new NoTicket(error?.message);
  }
  if (typeof got !== "string" || got === "") throw new NoTicket();
  return got;
}

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
      const failure = read_refusal(answer);
      const is_readable = body === null && words.length > 0 && words.length <= LONGEST_WORDS && !words.startsWith("<");
      if (is_readable) failure.message = words;
      throw failure;
    }
    const ticket = body?.ticket ?? body ?? words;
    if (typeof ticket !== "string" || !TICKET.test(ticket)) {
      throw new RequestFailure({ status, code: "bad_answer", message: "Somebody else answered in the application's place" });
    }
    return ticket;
  };
}
