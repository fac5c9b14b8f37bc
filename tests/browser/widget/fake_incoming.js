/**
 * A library that does only what a test says, with the interface of static/incoming.d.ts.
 *
 *     const uploader = fake.uploaders[0];
 *     uploader.become({ phase: "uploading", bytes_acked: 5 });
 */

export const fake = { uploaders: [], resumables: [], configured: [], ticket_urls: [], answer: Promise.resolve() };

class Uploader extends EventTarget {
  constructor(ticket, file, options = {}) {
    super();
    if (!(file instanceof File)) throw new TypeError("needs a File");
    Object.assign(this, {
      ticket,
      file,
      options,
      upload_id: null,
      filename: file.name,
      relative_path: options.relative_path ?? null,
      bytes_total: file.pretended_size ?? file.size,
      bytes_tx: 0,
      bytes_acked: 0,
      bytes_per_s: null,
      seconds_left: null,
      phase: "new",
      handing_over: false,
      cancel_msg: null,
      error_code: null,
      error_msg: null,
      trouble_code: null,
      trouble_msg: null,
      calls: [],
    });
    fake.uploaders.push(this);
  }

  get finished() {
    return this.phase === "finished";
  }
  get paused() {
    return this.phase === "paused";
  }
  get cancelling() {
    return this.phase === "cancelling";
  }
  get cancelled() {
    return this.phase === "cancelled" || this.phase === "failed";
  }
  get can_pause() {
    return ["queued", "connecting", "uploading", "paused"].includes(this.phase);
  }
  get can_cancel() {
    return this.phase === "new" || this.can_pause;
  }

  start() {
    this.calls.push("start");
    if (this.phase === "new") this.become({ phase: "queued" });
    return this;
  }
  pause(what) {
    this.calls.push(what);
    if (this.phase === "paused" && what !== "pause") this.become({ phase: "connecting", trouble_code: null });
    else if (this.can_pause && what !== "unpause") this.become({ phase: "paused" });
    return this;
  }
  cancel(reason) {
    this.calls.push("cancel");
    if (this.can_cancel) this.become({ phase: "cancelling", cancel_msg: reason ?? "Cancelled by the user" });
    return this;
  }

  /** Change, and tell as the library does. */
  become(changes) {
    Object.assign(this, changes);
    this.bytes_tx = Math.max(this.bytes_tx, this.bytes_acked);
    this.dispatchEvent(new Event("progress"));
    const ends = { finished: "finished", cancelled: "cancelled", failed: "error" };
    if (changes.phase in ends) this.dispatchEvent(new Event(ends[changes.phase]));
    return this;
  }
}

export class Resumable {
  constructor(facts) {
    Object.assign(this, {
      upload_id: "resumable",
      filename: "film.mp4",
      relative_path: null,
      bytes_total: 1000,
      bytes_acked: 400,
      expires_at: null,
      in_another_tab: false,
      has_file_handle: false,
      calls: [],
      ...facts,
    });
  }
  matches(file) {
    return file.name === this.filename;
  }
  async resume(file) {
    this.calls.push(file === undefined ? "resume" : `resume ${file.name}`);
    if (file ? !this.matches(file) : !this.has_file_handle) {
      throw Object.assign(new Error("another file"), { code: "file_changed" });
    }
    const uploader = new Uploader(this.upload_id, file ?? new File(["x"], this.filename));
    return Object.assign(uploader, { upload_id: this.upload_id, bytes_total: this.bytes_total, bytes_acked: this.bytes_acked });
  }
  async discard() {
    this.calls.push("discard");
    fake.resumables = fake.resumables.filter((one) => one !== this);
  }
}

export const library = {
  Uploader,
  configure: (changes) => fake.configured.push(changes),
  /** As they stand now, told when `fake.answer` has come. */
  resumable: async () => {
    const { resumables } = fake;
    await fake.answer;
    return resumables;
  },
  set_server_hostname() {},
  tickets_from(url) {
    fake.ticket_urls.push(url);
    return async () => `ticket from ${url}`;
  },
};
