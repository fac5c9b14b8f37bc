/**
 * What can go wrong with a request, and what that means for the upload.
 *
 *     Error
 *       Aborted          called off by ourselves (pause, cancel): nobody is told
 *       UploadFailure    carries `code`, the stable word that a page finds in `error_code`
 *         FileUnreadable   the browser cannot read the file any more
 *         HandoverFailure  the file is there, but the application would not take it
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
    this.status = status;
    this.retry_after_s = retry_after_s;
    this.max_chunk_bytes = max_chunk_bytes;
  }
}

/**
 * - `lost`: the line or the server is down: connect again, for as long as it takes.
 * - `ask`: the line is fine, but this request came to nothing: ask the server how things stand.
 * - `fatal`: trying again cannot help.
 *
 * @typedef {"lost" | "ask" | "fatal"} Verdict
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
 * For answers of proxies, which carry no code of ours. Some say 404 while a deployment leaves them
 * without a server to pass requests on to.
 * @type {Readonly<Record<number, Verdict>>}
 */
const BY_STATUS = {
  404: "lost",
  408: "lost",
  413: "ask",
  425: "lost",
  429: "lost",
};

/**
 * @param {unknown} failure
 * @returns {Verdict}
 */
export function verdict(failure) {
  if (!(failure instanceof RequestFailure)) return "fatal";
  return BY_CODE[failure.code] ?? BY_STATUS[failure.status] ?? (failure.status >= 500 ? "lost" : "fatal");
}
