// Uploads that an earlier page did not finish: it asks for their files again, or discards them.

import { cancelUpload, endOf } from "./upload-direct.js";
import { button, Line, make, sizeText } from "./upload-list.js";
import { Refusal } from "./upload-requests.js";

/** @import { Api } from "./upload-requests.js" */
/** @import { Queue } from "./upload-queue.js" */
/** @import { Stored, UploadStore } from "./upload-store.js" */

/**
 * By these, a file that is chosen again is the same.
 * @param {{name: string, size: number, lastModified: number}} file
 */
const identityOf = ({ name, size, lastModified }) => `${size} ${lastModified} ${name}`;

export class Unfinished {
  /** @type {Map<string, {record: Stored, line: Line}>} */
  #waiting = new Map();

  /** @param {HTMLElement} section @param {Api} api @param {UploadStore} store @param {Queue} queue */
  constructor(section, api, store, queue) {
    this.section = section;
    this.api = api;
    this.store = store;
    this.queue = queue;
  }

  get isEmpty() {
    return this.section.hidden;
  }

  /** Show what is unfinished. @param {(files: File[]) => void} add takes files that are chosen again */
  async load(add) {
    const chooser = make("input", { type: "file", multiple: true });
    chooser.addEventListener("change", () => add([...(chooser.files ?? [])]));
    this.section.querySelector("button")?.addEventListener("click", () => chooser.click());
    for (const record of await this.store.list()) await this.#see(record);
  }

  /** Return the upload that a file continues, which is no longer listed. @param {File} file @returns {Stored | null} */
  take(file) {
    const found = this.#waiting.get(identityOf(file));
    if (!found) return null;
    this.#forget(found.record);
    return found.record;
  }

  /** @param {Stored} record */
  async #see(record) {
    try {
      const { body } = await this.api.ask("GET", `/uploads/${record.upload_id}`);
      if (body.state === "open") return this.#list(record, body.received_bytes ?? 0);
      if (body.state === "received") return this.queue.follow(record);
      await this.store.remove(record.upload_id);
      this.#say(record, endOf(body));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.code === "upload-not-found") await this.store.remove(record.upload_id);
      else this.#list(record, 0);
    }
  }

  /** @param {Stored} record @returns {Line} */
  #lineOf(record) {
    this.section.hidden = false;
    const list = /** @type {HTMLElement} */ (this.section.querySelector("ul"));
    return new Line(list, record.name);
  }

  /** @param {Stored} record @param {Refusal} end */
  #say(record, { message, code }) {
    const link = make("a", { href: `/errors/${code}` }, make("code", {}, code));
    this.#lineOf(record).end("danger", "Failed", message, link);
  }

  /** @param {Stored} record @param {number} receivedBytes */
  #list(record, receivedBytes) {
    const line = this.#lineOf(record);
    const discard = button("Discard", record.name, async () => {
      discard.disabled = true;
      try {
        await cancelUpload(this.api, record.upload_id);
        await this.store.remove(record.upload_id);
        this.#forget(record);
        this.section.querySelector("button")?.focus();
      } catch (error) {
        line.say(error instanceof Refusal ? error.message : String(error), discard);
        discard.disabled = false;
      }
    });
    line.say(`${sizeText(receivedBytes)} of ${sizeText(record.size)} have arrived.`, discard);
    this.#waiting.set(identityOf(record), { record, line });
  }

  /** @param {Stored} record */
  #forget(record) {
    this.#waiting.get(identityOf(record))?.line.element.remove();
    this.#waiting.delete(identityOf(record));
    this.section.hidden = !this.section.querySelector("li");
  }
}
