/**
 * Types of the browser library: of the exports of `incoming.mjs`, and of the global `incoming` that
 * the script `incoming.js` defines. docs/javascript.md tells the whole story.
 */

/** What an uploader was given: the id of a ticket, or a function that gets one when it is needed. */
export type Ticket = string | ((file: File, relative_path: string | null) => string | Promise<string>);

export interface Configuration {
  /**
   * Where the server is mounted, absolute or relative to the page: "https://up.example/incoming".
   * Without it that is found from the script's own address.
   */
  server_url: string | null;
  /** How many uploads send at once; the others wait for their turn. 3 at first. */
  files_at_once: number;
  /** How many chunks are on their way at once, of all uploads together. 4 at first, of the 6
   * connections that a browser opens to a host. */
  chunks_at_once: number;
  /** Whether this browser notes what it has begun, so that `resumable()` finds it. True at first. */
  remember: boolean;
}

/** Change how uploaders behave: `server_url` and `remember` of those made from now on. Unknown names and impossible values throw a TypeError. */
export function configure(changes: Partial<Configuration>): void;

/** host[:port] of the server, for uploaders made from now on; the page's own protocol decides on TLS. */
export function set_server_hostname(host: string): void;

/**
 * A function that asks `url` for tickets, to be given to an uploader: POST with the form fields
 * `filename`, `length`, `type` and `relative_path`; the answer's text, or the member `ticket` of its
 * JSON, is the ticket. It is asked again when the app is down or busy (408, 425, 429, 5xx); 401 and
 * 403 pause the upload; any other refusal ends it with the words of the answer.
 */
export function tickets_from(url: string): (file: File, relative_path?: string | null) => Promise<string>;

/** What this browser has begun on this origin and the server has not yet completely, newest first. */
export function resumable(): Promise<ResumableUpload[]>;

export interface ResumableUpload {
  readonly upload_id: string;
  readonly filename: string;
  /** As `File.webkitRelativePath` had it; null for a file that was chosen by itself. */
  readonly relative_path: string | null;
  readonly bytes_total: number;
  /** What the server has; null if it could not be asked. */
  readonly bytes_acked: number | null;
  /** When the server gives it up, if nothing moves until then; null if it could not be asked. */
  readonly expires_at: Date | null;
  /** Whether it is being sent in another tab at this moment. */
  readonly in_another_tab: boolean;
  /** Whether the browser has kept a handle on the file, so that it need not be chosen again. */
  readonly has_file_handle: boolean;
  /** Whether `file` looks like the one that was begun: same name, length and time. */
  matches(file: File): boolean;
  /**
   * An uploader that goes on with it, not yet started. Without `file` the kept handle is used, which
   * may ask the person for permission: call it from a click. Rejects with an UploadError:
   * `file_changed` for another file, `file_unreadable` if there is no file to be had.
   */
  resume(file?: File): Promise<Uploader>;
  /**
   * Cancel it, so that the server can delete what it has. Rejects with an UploadError: with
   * `wrong_state` if it is complete meanwhile.
   */
  discard(reason?: string): Promise<void>;
}

export interface UploaderOptions {
  /** Where the file was in the folder that was chosen, with slashes; `File.webkitRelativePath` if not given. */
  relative_path?: string;
  /** A handle on the file, to go on with after a reload without choosing it again. */
  file_handle?: FileSystemFileHandle;
}

export type ErrorCode =
  | "bad_request"
  | "cancelled"
  | "file_changed"
  | "file_too_large"
  | "file_unreadable"
  | "handover_failed"
  | "internal_error"
  | "no_ticket"
  | "range_not_satisfiable"
  | "type_not_allowed"
  | "unknown_upload"
  | (string & {});

/** See docs/javascript.md for what each means; the server and proxies may have others. */
export type TroubleCode =
  | "app_waits"
  | "bad_answer"
  | "chunk_too_large"
  | "digest_mismatch"
  | "forbidden"
  | "in_another_tab"
  | "incomplete_body"
  | "network_error"
  | "stalled"
  | "storage_full"
  | "superseded"
  | "unavailable"
  | "upload_gone"
  | "wrong_state"
  | (string & {});

/** What `done` rejects with. */
export interface UploadError extends Error {
  readonly code: ErrorCode;
}

export type Callback = (uploader: Uploader) => void;

export interface UploaderEventMap {
  /** Anything has changed; dispatched after `onprogress` was called. */
  progress: Event;
  finished: Event;
  cancelled: Event;
  error: Event;
}

/** One file on its way to the server. Nothing is sent before `start()`. */
export interface Uploader extends EventTarget {
  /** The ticket; null while it has not been got yet. */
  readonly upload_id: string | null;
  readonly filename: string;
  readonly relative_path: string | null;

  readonly bytes_total: number;
  /** Sent: handed to the network. Falls back to `bytes_acked` when a connection is lost. */
  readonly bytes_tx: number;
  /** Stored by the server. */
  readonly bytes_acked: number;
  readonly bytes_ahead: number;
  /** Stored, from 0 to 1; 1 for an empty file. */
  readonly frac_complete: number;
  /** Counts since the last connection. */
  readonly chunks_tx_now: number;
  readonly chunks_acked_now: number;
  readonly chunks_ahead: number;
  /** Stored per second, over the last half minute; null while it is not known. */
  readonly bytes_per_s: number | null;
  /** At that speed; null while it is not known. */
  readonly seconds_left: number | null;

  /** One word for where it is; the flags below say the same. */
  readonly phase:
    | "new"
    | "queued"
    | "connecting"
    | "uploading"
    | "handing_over"
    | "paused"
    | "cancelling"
    | "finished"
    | "cancelled"
    | "failed";
  readonly connected: boolean;
  readonly finished: boolean;
  readonly paused: boolean;
  readonly can_pause: boolean;
  readonly cancelling: boolean;
  /** Over without delivery: cancelled, or failed (then `error_code` says why). */
  readonly cancelled: boolean;
  readonly can_cancel: boolean;
  /** All bytes are stored, and the app has not yet answered for good. */
  readonly handing_over: boolean;

  /** A short text for where it is. */
  readonly state_msg: string;
  readonly cancel_msg: string | null;
  /** Of an upload that failed; a stable word. */
  readonly error_code: ErrorCode | null;
  readonly error_msg: string | null;
  /**
   * What is in its way at the moment, though nothing is lost and it goes on when that is over:
   * `network_error`, `stalled`, `http_502`, `storage_full`, … while it tries again by itself;
   * `http_401`, `forbidden`, `in_another_tab` while it is paused until `pause("unpause")`;
   * `app_waits` while the app does not take the file. Null if nothing is.
   */
  readonly trouble_code: TroubleCode | null;
  readonly trouble_msg: string | null;

  /** Resolves with the uploader when the app has the file, rejects with an UploadError when it will not. */
  readonly done: Promise<Uploader>;

  onprogress: Callback | null;
  onfinished: Callback | null;
  oncancelled: Callback | null;
  onerror: Callback | null;

  start(): this;
  pause(what: "pause" | "unpause" | "toggle"): this;
  /** End the upload without delivery; the app is told the reason. */
  cancel(reason?: string): this;

  addEventListener<K extends keyof UploaderEventMap>(
    type: K,
    listener: ((this: Uploader, event: UploaderEventMap[K]) => void) | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof UploaderEventMap>(
    type: K,
    listener: ((this: Uploader, event: UploaderEventMap[K]) => void) | null,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

export interface UploaderConstructor {
  new (ticket: Ticket, file: File, options?: UploaderOptions): Uploader;
  (ticket: Ticket, file: File, options?: UploaderOptions): Uploader;
  readonly prototype: Uploader;
}

export const Uploader: UploaderConstructor;

export interface Library {
  readonly Uploader: UploaderConstructor;
  readonly configure: typeof configure;
  readonly resumable: typeof resumable;
  readonly set_server_hostname: typeof set_server_hostname;
  readonly tickets_from: typeof tickets_from;
}

declare global {
  /** What the script `incoming.js` defines. */
  var incoming: Library;
}
