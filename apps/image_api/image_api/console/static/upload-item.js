// One file on its way, and the line that shows it.

import { button, Line, make, sizeText } from "./upload-list.js";
import { newKey } from "./upload-requests.js";

/** @import { Part } from "./upload-list.js" */
/** @import { Fields } from "./upload-form.js" */
/** @import { Refusal } from "./upload-requests.js" */
/** @import { Session } from "./upload-store.js" */

/** @typedef {"waiting" | "arrived" | "stored" | "known" | "restored" | "trashed" | "failed"} State */
const ENDS = /** @type {const} */ ({
  stored: ["good", "Uploaded"], known: ["info", "Already there"], restored: ["good", "Restored"],
});

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

  /** End well; the line stays for a while. @param {keyof typeof ENDS} state @param {string} imageId @param {string} query */
  end(state, imageId, query) {
    const [kind, title] = ENDS[state];
    const href = `/console/images/${imageId}${query}`;
    this.line.end(kind, title, make("a", { href, ariaLabel: `Open ${this.name}` }, "Open"));
    if (state !== "known") this.line.watch(imageId);
    this.line.settle();
    this.#line = null;
  }

  /** @param {Refusal} refusal @param {() => void} tryAgain */
  fail({ message, code }, tryAgain) {
    /** @type {Part[]} */
    const parts = [message];
    if (code) parts.push(make("a", { href: `/errors/${code}` }, make("code", {}, code)));
    if (this.file) parts.push(button("Try again", this.name, tryAgain));
    this.line.end("danger", "Failed", ...parts);
  }
}
