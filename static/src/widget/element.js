/**
 * `<incoming-upload>`: attributes, properties and methods, its part in a form, and nothing else.
 * What it looks like and does is in panel.js; docs/widget.md tells the whole story.
 */

import { adopt_style } from "./style.js";
import { create_panel } from "./panel.js";

/** @typedef {import("../../incoming.js").Library} Library */
/** @typedef {import("../../incoming.js").Ticket} Ticket */
/** @typedef {import("../surroundings.js").Surroundings} Surroundings */
/** @typedef {import("./files.js").Found} Found */
/** @typedef {import("./texts.js").Text} Text */

const FLAGS = ["disabled", "folders", "multiple", "required"];
const WORDS = ["accept", "name", "server-url", "ticket-url"];

/**
 * @param {Library} library
 * @param {Surroundings} surroundings
 * @param {typeof HTMLElement} Base `HTMLElement` of the page
 */
export function create_element_class(library, surroundings, Base) {
  class IncomingUploadElement extends Base {
    static get formAssociated() {
      return true;
    }

    static get observedAttributes() {
      return [...FLAGS, ...WORDS];
    }

    constructor() {
      super();
      const root = this.attachShadow({ mode: "open", delegatesFocus: true });
      adopt_style(root);
      this._internals = this.attachInternals();
      this._form_disabled = false;
      /** @type {Record<string, Text>} */
      this._texts = {};
      /** It may have been set before the element was defined. @type {((file: File) => string | Promise<string>) | null} */
      this.tickets = /** @type {any} */ (this).tickets ?? null;
      /** What the form has been told. */
      this._value = "";
      this._panel = create_panel(library, surroundings, {
        host: this,
        root,
        settings: () => ({
          multiple: this.hasAttribute("multiple"),
          folders: this.hasAttribute("folders"),
          accept: this.getAttribute("accept") ?? "",
          disabled: this._form_disabled,
          texts: this._texts,
        }),
        ticket: () => this._find_tickets(),
        dispatch: (name, detail) =>
          this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true })),
        on_change: () => this._tell_form(),
      });
    }

    connectedCallback() {
      for (const property of ["texts", ...FLAGS, ...WORDS.map(property_name)]) this._upgrade(property);
      this._panel.connect();
    }

    disconnectedCallback() {
      this._panel.disconnect();
    }

    /** @param {string} name @param {string | null} _ @param {string | null} value */
    attributeChangedCallback(name, _, value) {
      if (name === "server-url" && value !== null) library.configure({ server_url: value });
      if (this.isConnected) this._panel.refresh();
    }

    /** @param {boolean} disabled by its own attribute or by a fieldset */
    formDisabledCallback(disabled) {
      this._form_disabled = disabled;
      if (this.isConnected) this._panel.refresh();
    }

    formResetCallback() {
      this._panel.forget("The form was reset");
    }

    get texts() {
      return this._texts;
    }

    set texts(texts) {
      this._texts = { ...texts };
      if (this.isConnected) this._panel.refresh();
    }

    get uploads() {
      return this._panel.uploads();
    }

    /** @param {Iterable<File | Found>} files */
    add_files(files) {
      return this._panel.add(Array.from(files, (one) => ("file" in one ? one : { file: one })));
    }

    pause_all() {
      this._panel.pause_all();
    }

    resume_all() {
      this._panel.resume_all();
    }

    /** @param {string} [reason] */
    cancel_all(reason) {
      this._panel.cancel_all(reason);
    }

    clear() {
      this._panel.clear();
    }

    /** @returns {Ticket} */
    _find_tickets() {
      if (this.tickets) return this.tickets;
      const url = this.getAttribute("ticket-url");
      if (url !== null) return library.tickets_from(url);
      return () => Promise.reject(new Error("<incoming-upload> has neither ticket-url nor tickets"));
    }

    /** The form gets the ids of what has arrived, and is not submitted while something is on its way. */
    _tell_form() {
      const uploads = this._panel.uploads();
      const finished = uploads.filter(({ finished }) => finished).map(({ upload_id }) => String(upload_id));
      const ids = this.hasAttribute("multiple") ? finished : finished.slice(-1);
      const busy = uploads.some((uploader) => !uploader.finished && !uploader.cancelled);
      const missing = this.hasAttribute("required") && ids.length === 0;
      const name = this.getAttribute("name");
      const value = JSON.stringify([name, ids, busy, missing]);
      if (value === this._value) return;
      this._value = value;
      const entries = new FormData();
      for (const id of ids) entries.append(name ?? "", id);
      this._internals.setFormValue(name ? entries : null);
      const { input, text } = this._panel;
      if (busy) this._internals.setValidity({ customError: true }, text("form_wait"), input);
      else if (missing) this._internals.setValidity({ valueMissing: true }, text("form_missing"), input);
      else this._internals.setValidity({});
    }

    /** A property that was set before the element was defined hides the one of the class. @param {string} property */
    _upgrade(property) {
      const self = /** @type {any} */ (this);
      if (!Object.hasOwn(self, property)) return;
      const value = self[property];
      delete self[property];
      self[property] = value;
    }
  }

  for (const name of FLAGS) {
    Object.defineProperty(IncomingUploadElement.prototype, name, {
      configurable: true,
      get() {
        return this.hasAttribute(name);
      },
      set(value) {
        this.toggleAttribute(name, Boolean(value));
      },
    });
  }
  for (const name of WORDS) {
    Object.defineProperty(IncomingUploadElement.prototype, property_name(name), {
      configurable: true,
      get() {
        return this.getAttribute(name) ?? "";
      },
      set(value) {
        this.setAttribute(name, value);
      },
    });
  }
  return IncomingUploadElement;
}

/** @param {string} attribute */
function property_name(attribute) {
  return attribute.replace("-", "_");
}
