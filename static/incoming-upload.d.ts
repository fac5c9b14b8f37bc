/**
 * Types of the element `<incoming-upload>`: of the exports of `incoming-upload.mjs`, and of what
 * the script `incoming-upload.js` defines. docs/widget.md tells the whole story.
 */

import type { Uploader } from "./incoming.js";

export * from "./incoming.js";

/** A file, and what its uploader is to know of it. */
export interface FileToUpload {
  file: File;
  /** Where it was in its folder, with slashes. */
  relative_path?: string;
  /** To go on with it after a reload without choosing it again. */
  file_handle?: FileSystemFileHandle;
}

export type TextValues = Record<string, string | number>;

/**
 * A template with `{name}` for values; one for each plural category of the document's language,
 * chosen by `count`; or a function of the values.
 */
export type Text = string | Partial<Record<Intl.LDMLPluralRule, string>> | ((values: TextValues) => string);

/** Every text of the element; docs/widget.md lists the values of each. */
export type TextKey =
  | "amount"
  | "cancel"
  | "cancel_all"
  | "cancelled"
  | "cancelled_because"
  | "cancelling"
  | "choose_again"
  | "choose_file"
  | "choose_files"
  | "choose_folder"
  | "choose_to_continue"
  | "clear"
  | "connecting"
  | "continue"
  | "discard"
  | "drop_file"
  | "drop_files"
  | "drop_files_or_folders"
  | "files_failed"
  | "files_finished"
  | "finished"
  | "form_missing"
  | "form_wait"
  | "handing_over"
  | "in_another_tab"
  | "kept_until"
  | "list"
  | "not_accepted"
  | "not_readable"
  | "one_file_only"
  | "pause"
  | "pause_all"
  | "paused"
  | "queued"
  | "remove"
  | "resume"
  | "resume_all"
  | "retry"
  | "say_failed"
  | "say_finished"
  | "say_paused"
  | "say_progress"
  | "say_started"
  | "separator"
  | "stored"
  | "time_left"
  | "total"
  | "unfinished"
  /** Of an upload that failed, by its `error_code`; `error_other` where there is none. */
  | `error_${string}`
  /** Of what is in its way, by its `trouble_code`; `trouble_server` for http_5xx, `trouble_other` for the rest. */
  | `trouble_${string}`;

export type Texts = { [key in TextKey]?: Text };

/** The detail of `incoming-all-over`: what was under way until now. */
export interface AllOver {
  finished: Uploader[];
  failed: Uploader[];
  cancelled: Uploader[];
}

/** All of them bubble, out of shadow roots too. */
export interface IncomingUploadEventMap {
  /** An upload is about to start: the moment to listen to its uploader. */
  "incoming-added": CustomEvent<{ uploader: Uploader }>;
  /** The app has the file. */
  "incoming-finished": CustomEvent<{ uploader: Uploader }>;
  /** It will not come; `uploader.error_code` says why. */
  "incoming-error": CustomEvent<{ uploader: Uploader }>;
  "incoming-cancelled": CustomEvent<{ uploader: Uploader }>;
  /** Nothing is under way any more. */
  "incoming-all-over": CustomEvent<AllOver>;
}

export class IncomingUploadElement extends HTMLElement {
  /** Attribute `ticket-url`: where tickets are asked for, with `tickets_from`. */
  ticket_url: string;
  /** Gets the ticket of a file; wins over `ticket_url`. */
  tickets: ((file: File) => string | Promise<string>) | null;
  /** Attribute `server-url`: where the server is, if the script is not from there. Holds for the page. */
  server_url: string;
  /** Attribute: more than one file. Without it a new file takes the place of the one before. */
  multiple: boolean;
  /** Attribute: a button that chooses a folder. */
  folders: boolean;
  /** Attribute, as of `<input type=file>`; holds for drops too. */
  accept: string;
  /** Attribute: no file can be added. Also from a fieldset. */
  disabled: boolean;
  /** Attribute: a form is not submitted before a file has arrived. */
  required: boolean;
  /** Attribute: under which a form gets the id of each upload that has arrived. */
  name: string;
  /** Texts that take the place of the English ones. */
  texts: Texts;
  /** The uploads in the list, in its order. */
  readonly uploads: Uploader[];

  /** Upload these, as if they had been chosen. Resolves with their uploaders. */
  add_files(files: Iterable<File | FileToUpload>): Promise<Uploader[]>;
  pause_all(): void;
  resume_all(): void;
  /** End all that are under way; the app is told the reason. */
  cancel_all(reason?: string): void;
  /** Take what is over off the list. */
  clear(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "incoming-upload": IncomingUploadElement;
  }
  interface HTMLElementEventMap extends IncomingUploadEventMap {}
}
