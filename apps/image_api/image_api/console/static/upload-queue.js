// The files of a page on their way: checked, sent a few at a time, and what became of each.

import { Checks } from "./upload-checks.js";
import { Ended, openUpload, sendPieces, untilChecked } from "./upload-direct.js";
import { pieceOf } from "./upload-files.js";
import { Upload } from "./upload-item.js";
import { button, make } from "./upload-list.js";
import { newKey, problemOf, Refusal, send, untilAnswered } from "./upload-requests.js";
import { working } from "./upload-store.js";

/** @import { Limits } from "./upload-checks.js" */
/** @import { Fields } from "./upload-form.js" */
/** @import { Part } from "./upload-list.js" */
/** @import { State } from "./upload-item.js" */
/** @import { Api } from "./upload-requests.js" */
/** @import { Session, Stored, UploadStore } from "./upload-store.js" */

const [AT_ONCE, CHECKED_AT_ONCE] = [3, 50];
const ENDS = /** @type {const} */ ({
  stored: ["good", "Uploaded"], known: ["info", "Already there"], restored: ["good", "Restored"],
});

/**
 * @typedef {object} Options
 * @property {Api} api
 * @property {UploadStore} store
 * @property {Element} list
 * @property {Limits} limits
 * @property {() => Fields} readFields
 * @property {() => void} onChange
 */

export class Queue {
  /** @type {Set<Upload>} */ uploads = new Set();
  /** @type {Record<State, number>} */
  counts = { waiting: 0, arrived: 0, stored: 0, known: 0, restored: 0, trashed: 0, failed: 0 };
  /** @type {Upload[]} */ #ready = [];
  #sending = 0;
  #checking = Promise.resolve();

  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    this.checks = new Checks(options.api, options.limits);
  }

  /** How many bytes of all files were sent, or need not be. */
  get doneBytes() {
    let bytes = 0;
    for (const { state, size, sentBytes } of this.uploads) bytes += state === "waiting" ? sentBytes : size;
    return bytes;
  }

  get allBytes() {
    return [...this.uploads].reduce((sum, { size }) => sum + size, 0);
  }

  /** @param {File[]} files @param {(file: File) => Stored | null} unfinished */
  add(files, unfinished) {
    const fields = this.#readFields();
    const added = files.map((file) => new Upload(this.options.list, file, file, unfinished(file)));
    for (const upload of added) this.#enter(Object.assign(upload, { fields }));
    for (let at = 0; at < added.length; at += CHECKED_AT_ONCE) {
      const batch = added.slice(at, at + CHECKED_AT_ONCE);
      this.#checking = this.#checking.then(() => this.#check(batch));
    }
    this.options.onChange();
  }

  /** Wait for the check of an upload whose file has arrived. @param {Stored} record */
  follow(record) {
    const upload = new Upload(this.options.list, record, null, record);
    this.#enter(upload);
    void this.#finish(upload, record);
  }

  /** Try everything again that failed, with the fields as they are now. */
  tryFailedAgain() {
    for (const upload of this.uploads) if (upload.state === "failed" && upload.file) this.#tryAgain(upload);
  }

  #readFields() {
    try {
      return this.options.readFields();
    } catch (error) {
      return /** @type {Refusal} */ (error);
    }
  }

  /** @param {Upload} upload */
  #enter(upload) {
    this.uploads.add(upload);
    this.counts.waiting += 1;
  }

  /** @param {Upload} upload @param {State} state */
  #move(upload, state) {
    this.counts[upload.state] -= 1;
    this.counts[state] += 1;
    upload.state = state;
    this.options.onChange();
  }

  /** @param {Upload} upload @param {number} sentBytes */
  #advance(upload, sentBytes) {
    upload.advance(sentBytes);
    this.options.onChange();
  }

  /** @param {Upload[]} uploads */
  async #check(uploads) {
    for (const upload of uploads) {
      try {
        if (upload.file) await this.checks.inspect(upload, upload.file);
      } catch (error) {
        this.#fail(upload, error);
      }
    }
    const accepted = uploads.filter(({ state }) => state === "waiting");
    const known = await this.checks.findKnown(accepted);
    for (const upload of accepted) {
      const found = known.get(upload.sha256);
      if (found?.state === "present" && found.status !== "failed") this.#end(upload, "known", found.image_id);
      else if (found?.state === "trashed") this.#offer(upload, found.image_id);
      else void this.#deliver(upload);
    }
  }

  /** @param {Upload} upload */
  async #deliver(upload) {
    this.#ready.push(upload);
    if (this.#sending === AT_ONCE) return;
    this.#sending += 1;
    for (let next = this.#ready.shift(); next; next = this.#ready.shift()) {
      try {
        await this.#send(next);
      } catch (error) {
        this.#fail(next, error);
      }
    }
    this.#sending -= 1;
  }

  /** @param {Upload} upload */
  async #send(upload) {
    const { file, fields } = upload;
    if (!file) return;
    this.#advance(upload, 0);
    if (upload.record) await this.#sendDirectly(upload, upload.record, file);
    else if (fields instanceof Refusal) throw fields;
    else if (upload.size > this.options.limits.formBytes) await this.#open(upload, file, fields);
    else await this.#sendForm(upload, file, fields);
  }

  /** @param {Upload} upload @param {File} file @param {Fields} fields */
  async #sendForm(upload, file, fields) {
    const { api } = this.options;
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, JSON.stringify(value));
    form.append("file", file);
    const headers = api.headers({ "Idempotency-Key": upload.key });
    const attempt = async () => {
      await pieceOf(file, 0, 1);
      return send("POST", api.url(`/images${api.teamQuery}`), headers, form, (sent, total) => {
        this.#advance(upload, total ? (upload.size * sent) / total : 0);
      });
    };
    const answer = await untilAnswered(attempt, upload.say);
    if (answer.status >= 400) throw problemOf(answer);
    this.#end(upload, answer.status === 201 ? "stored" : "known", JSON.parse(answer.text).id);
  }

  /** @param {Upload} upload @param {File} file @param {Fields} fields */
  async #open(upload, file, fields) {
    const { api, store } = this.options;
    const opened = await openUpload(api, file, upload.mediaType, upload.sha256, fields, upload.say);
    if (typeof opened === "string") return this.#end(upload, "known", opened);
    await store.add(opened);
    [upload.record, upload.isNew] = [opened, true];
    await this.#sendDirectly(upload, opened, file);
  }

  /** @param {Upload} upload @param {Session} record @param {File} file */
  async #sendDirectly(upload, record, file) {
    const onProgress = (/** @type {number} */ sent) => this.#advance(upload, sent);
    await working(record.upload_id, () =>
      sendPieces(this.options.api, record, file, upload.isNew, onProgress, upload.say),
    );
    void this.#finish(upload, record);
  }

  /** @param {Upload} upload @param {Session} record */
  async #finish(upload, record) {
    const { api, store } = this.options;
    upload.line.advance(1, "Being checked");
    this.#move(upload, "arrived");
    try {
      const imageId = await untilChecked(api, record.upload_id);
      await store.remove(record.upload_id);
      this.#end(upload, imageId === record.upload_id ? "stored" : "known", imageId);
    } catch (error) {
      this.#fail(upload, error);
    }
  }

  /** @param {Upload} upload @param {"stored" | "known" | "restored"} state @param {string} imageId */
  #end(upload, state, imageId) {
    const [kind, title] = ENDS[state];
    const href = `/console/images/${imageId}${this.options.api.teamQuery}`;
    upload.end(kind, title, make("a", { href, ariaLabel: `Open ${upload.name}` }, "Open"));
    this.#move(upload, state);
  }

  /** Offer what is in the trash for restoring. @param {Upload} upload @param {string} imageId */
  #offer(upload, imageId) {
    const restore = button("Restore", upload.name, async () => {
      restore.disabled = true;
      try {
        await this.options.api.ask("POST", `/images/${imageId}/restore`);
        this.#end(upload, "restored", imageId);
      } catch (error) {
        this.#fail(upload, error);
      }
    });
    upload.line.end("warning", "In the trash", restore);
    this.#move(upload, "trashed");
  }

  /** @param {Upload} upload @param {unknown} error */
  #fail(upload, error) {
    if (upload.record && error instanceof Ended) {
      void this.options.store.remove(upload.record.upload_id);
      upload.record = null;
    }
    const { message, code } = error instanceof Refusal ? error : new Refusal(String(error));
    /** @type {Part[]} */
    const parts = [message];
    if (code) parts.push(make("a", { href: `/errors/${code}` }, make("code", {}, code)));
    if (upload.file) parts.push(button("Try again", upload.name, () => this.#tryAgain(upload)));
    upload.line.end("danger", "Failed", ...parts);
    this.#move(upload, "failed");
  }

  /** @param {Upload} upload */
  #tryAgain(upload) {
    upload.key = newKey();
    upload.isNew = false;
    upload.fields = this.#readFields();
    upload.line.advance(0, "Waiting");
    this.#move(upload, "waiting");
    this.#checking = this.#checking.then(() => this.#check([upload]));
  }
}
