// The files of a page on their way: checked, sent a few at a time, and what became of each.

import { Checks } from "./upload-checks.js";
import { Ended, openUpload, sendPieces, untilChecked } from "./upload-direct.js";
import { pieceOf } from "./upload-files.js";
import { Upload } from "./upload-item.js";
import { button } from "./upload-list.js";
import { newKey, problemOf, Refusal, send, untilAnswered } from "./upload-requests.js";
import { working } from "./upload-store.js";

/** @import { Limits } from "./upload-checks.js" */
/** @import { Fields } from "./upload-form.js" */
/** @import { State } from "./upload-item.js" */
/** @import { Api } from "./upload-requests.js" */
/** @import { Session, Stored, UploadStore } from "./upload-store.js" */

const [AT_ONCE, CHECKED_AT_ONCE] = [3, 50];

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

  /** How many bytes were sent, or need not be, and how many there are in all files. */
  get bytes() {
    const sum = { done: 0, all: 0 };
    for (const { state, size, sentBytes } of this.uploads) {
      sum.done += state === "waiting" ? sentBytes : size;
      sum.all += size;
    }
    return sum;
  }

  /** @param {File[]} files @param {(file: File) => Stored | null} unfinished */
  add(files, unfinished) {
    const fields = this.#readFields();
    const added = files.map((file) => new Upload(this.options.list, file, file, unfinished(file)));
    for (const upload of added) this.#enter(Object.assign(upload, { fields }));
    this.#checkInBatches(added);
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
    this.#tryAgain([...this.uploads].filter(({ state, file }) => state === "failed" && file));
  }

  /** @param {Upload[]} uploads */
  #checkInBatches(uploads) {
    for (let at = 0; at < uploads.length; at += CHECKED_AT_ONCE) {
      const batch = uploads.slice(at, at + CHECKED_AT_ONCE);
      this.#checking = this.#checking.then(() => this.#check(batch));
    }
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
    /** @type {Upload[]} */
    const accepted = [];
    for (const upload of uploads) {
      try {
        if (upload.file) await this.checks.inspect(upload, upload.file);
        accepted.push(upload);
      } catch (error) {
        this.#fail(upload, error);
      }
    }
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
    upload.end(state, imageId, this.options.api.teamQuery);
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
    upload.fail(error instanceof Refusal ? error : new Refusal(String(error)), () => this.#tryAgain([upload]));
    this.#move(upload, "failed");
  }

  /** @param {Upload[]} uploads */
  #tryAgain(uploads) {
    const fields = this.#readFields();
    for (const upload of uploads) {
      Object.assign(upload, { fields, key: newKey(), isNew: false, sentBytes: 0 });
      upload.line.advance(0, "Waiting");
      this.#move(upload, "waiting");
    }
    this.#checkInBatches(uploads);
  }
}
