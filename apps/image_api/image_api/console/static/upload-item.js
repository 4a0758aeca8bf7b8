// One file on its way, and the line that shows it.

import { Line, sizeText } from "./upload-list.js";
import { newKey } from "./upload-requests.js";

/** @import { Part } from "./upload-list.js" */
/** @import { Fields } from "./upload-form.js" */
/** @import { Refusal } from "./upload-requests.js" */
/** @import { Session } from "./upload-store.js" */

/** @typedef {"waiting" | "arrived" | "stored" | "known" | "restored" | "trashed" | "failed"} State */

export class Upload {
  /** @type {State} */ state = "waiting";
  /** @type {string | null} */ sha256 = null;
  mediaType = "";
  sentBytes = 0;
  /** Of the request, so that it has one effect however often it is sent. */
  key = newKey();
  isNew = false;
  /** @type {Fields | Refusal} why the form cannot be sent as it was */
  fields = { tags: [], metadata: {} };
  /** @type {Line | null} */ #line = null;

  /**
   * @param {Element} list
   * @param {{name: string, size: number}} named
   * @param {File | null} file null if it had arrived before the page was opened
   * @param {Session | null} record of an upload that goes straight to storage
   */
  constructor(list, { name, size }, file, record) {
    this.list = list;
    this.name = name;
    this.size = size;
    this.file = file;
    this.record = record;
  }

  /** The files that wait have no lines. */
  get line() {
    return (this.#line ??= new Line(this.list, this.name));
  }

  /** @param {string} text */
  say = (text) => this.line.say(text);

  /** @param {number} sentBytes */
  advance(sentBytes) {
    this.sentBytes = sentBytes;
    const share = sentBytes / this.size || 0;
    this.line.advance(share, share < 1 ? `${Math.floor(share * 100)} % of ${sizeText(this.size)}` : "Being stored");
  }

  /** End well; the line stays for a while. @param {string} kind @param {string} title @param {...Part} parts */
  end(kind, title, ...parts) {
    this.line.end(kind, title, ...parts);
    this.line.settle();
    this.#line = null;
  }
}
