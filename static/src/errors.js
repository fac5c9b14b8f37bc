/**
 * What can go wrong with a request, and what that means for the upload.
 *
 *     Error
 *       Aborted          called off by ourselves (pause, cancel): nobody is told
 *       UploadFailure    carries `code`, the stable word that a page finds in `error_code`
 *         Cancelled        ended without delivery, as somebody wished
 *         FileUnreadable   the browser cannot read the file any more
 *         HandoverFailure  the file is there, but the application would not take it
 *         NoTicket         the application gave no ticket, and asking again cannot help
 *         WrongFile        the server has bytes of another file
 *         RequestFailure   a request without a good answer, with the evidence
 *
 * The one decision, `verdict(failure)`, is a table.
 */

export class Aborted extends Error {
  constructor() {
    super("called off");
    this.name = "Aborted";
  }
}

export class UploadFailure extends Error {
  /**
   * @param {string} code
   * @param {string} message for the person at the page
   */
  constructor(code, message) {
    super(message);
    this.name = "UploadFailure";
    this.code = code;
  }
}

export class Cancelled extends UploadFailure {
  /** @param {string} reason */
  constructor(reason) {
    super("cancelled", reason);
  }
}

export class FileUnreadable extends UploadFailure {
  constructor() {
    super(
      "file_unreadable",
      "The file cannot be read any more. It was changed, moved or deleted after it was chosen; please choose it again.",
    );
  }
}

export class HandoverFailure extends UploadFailure {
  /** @param {string | null} reason of the server */
  constructor(reason) {
    super("handover_failed", `The file has arrived, but the application did not take it${reason ? `: ${reason}` : ""}`);
  }
}

export class NoTicket extends UploadFailure {
  /** @param {string} [reason] in the application's words */
  constructor(reason) {
    super("no_ticket", reason || "The application did not give leave to upload this file");
  }
}

export class WrongFile extends UploadFailure {
  constructor() {
    super("file_changed", "This is not the same file: the server has a part of another one");
  }
}

export class RequestFailure extends UploadFailure {
  /**
   * @param {object} evidence
   * @param {number} evidence.status HTTP status, 0 without an answer
   * @param {string} [evidence.code] of the server, or of the transport
   * @param {string} [evidence.message]
   * @param {number} [evidence.retry_after_s]
   * @param {number | null} [evidence.max_chunk_bytes]
   */
  constructor({ status, code, message, retry_after_s = 0, max_chunk_bytes = null }) {
    super(code ?? `http_${status}`, message ?? `The server answered with status ${status}`);
    this.is_ours = code !== undefined;
    this.status = status;
    this.retry_after_s = retry_after_s;
    this.max_chunk_bytes = max_chunk_bytes;
  }
}

/**
 * - `lost`: the line or the server is down: connect again, for as long as it takes.
 * - `ask`: the line is fine, but this request came to nothing: ask the server how things stand.
 * - `refused`: not before somebody has signed in again, say; nothing is lost meanwhile.
 * - `fatal`: trying again cannot help.
 *
 * @typedef {"lost" | "ask" | "refused" | "fatal"} Verdict
 */

/** @type {Readonly<Record<string, Verdict>>} */
const BY_CODE = {
  network_error: "lost",
  stalled: "lost",
  bad_answer: "lost",
  chunk_too_large: "ask",
  digest_mismatch: "ask",
  incomplete_body: "ask",
  superseded: "ask",
  upload_gone: "ask",
  wrong_state: "ask",
  file_too_large: "fatal",
  unknown_upload: "fatal",
};

/**
 * For answers of proxies, which carry no code of ours: all others are "lost". Some say 404 or 405
 * while a deployment leaves them without a server to pass requests on to; no word of theirs is worth
 * a file that is half there.
 * @type {Readonly<Record<number, Verdict>>}
 */
const BY_STATUS = { 401: "refused", 403: "refused", 407: "refused", 413: "ask" };

// What a chunk meets that took too long for somebody on its way: a smaller one has a better chance.
const TOO_SLOW = [0, 408, 502, 504];

/** @param {RequestFailure} failure */
export const is_too_slow = ({ status }) => TOO_SLOW.includes(status);

/**
 * @param {unknown} failure
 * @returns {Verdict}
 */
export function verdict(failure) {
  if (!(failure instanceof RequestFailure)) return "fatal";
  const { code, status, is_ours } = failure;
  return BY_CODE[code] ?? BY_STATUS[status] ?? (is_ours && status < 500 ? "fatal" : "lost");
}

// After these nothing is left that a later page could go on with.
const ENDS = ["file_too_large", "handover_failed", "unknown_upload"];

/** @param {UploadFailure} failure */
export const is_end = ({ code }) => ENDS.includes(code);

// Longer than any sensible pause, and short of the 24 days at which browser timers overflow.
const LONGEST_RETRY_AFTER_S = 3600;

/**
 * What an answer that is no success says: our server in problem details (RFC 9457), anybody else as
 * they please.
 *
 * @param {import("./transport.js").Answer} answer
 */
export function read_refusal({ status, retry_after, body }) {
  return new RequestFailure({
    status,
    code: body?.status === status ? body.code : undefined,
    message: body?.detail ?? body?.title,
    retry_after_s: read_retry_after_s(retry_after),
    max_chunk_bytes: body?.max_chunk_bytes,
  });
}

/**
 * @param {string | null} header a number of seconds or a date (RFC 9110, 10.2.3)
 * @returns {number} 0 if there is none
 */
function read_retry_after_s(header) {
  if (header === null) return 0;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Math.min(Math.max(seconds, 0) || 0, LONGEST_RETRY_AFTER_S);
}
