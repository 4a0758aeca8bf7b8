// What is known of a file before it is sent: whether it will be refused, and whether the team has it.

import { mediaTypeOf } from "./upload-files.js";
import { sizeText } from "./upload-list.js";
import { Refusal } from "./upload-requests.js";

/** @import { Api } from "./upload-requests.js" */

const HASHED_BYTES = 32 * 1024 * 1024;

/**
 * @typedef {object} Limits
 * @property {number} formBytes the largest file that the API takes
 * @property {number} directBytes the largest file that storage takes, 0 if it takes none
 * @property {string[]} mediaTypes
 */
/** @typedef {{state: string, status: string, image_id: string}} Known what the team has of a file */
/** @typedef {{createScriptURL: (url: string) => string}} Policy */
/** @typedef {{createPolicy: (name: string, rules: Policy) => Policy}} TrustedTypes */

/** @returns {Worker} */
function startWorker() {
  const url = new URL("./uploader-worker.js", import.meta.url).href;
  const { trustedTypes } = /** @type {{trustedTypes?: TrustedTypes}} */ (globalThis);
  const policy = trustedTypes?.createPolicy("console-worker", {
    createScriptURL: (asked) => {
      if (asked !== url) throw new TypeError(`Not a worker of this page: ${asked}`);
      return asked;
    },
  });
  return new Worker(policy ? policy.createScriptURL(url) : url, { type: "module" });
}

/** Hashes one file after the other, so that one at a time is in memory. */
class Hasher {
  /** @type {Worker | null} */
  #worker = null;
  #isBroken = !crypto.subtle; // It is missing on pages over plain HTTP from another machine.
  /** @type {Map<number, (sha256: string | null) => void>} */
  #waiting = new Map();
  #last = 0;

  /**
   * Return the SHA-256 as hexadecimal digits, null for a file that is too large or unreadable.
   * @param {File} file
   * @returns {Promise<string | null>}
   */
  hash(file) {
    if (this.#isBroken || file.size === 0 || file.size > HASHED_BYTES) return Promise.resolve(null);
    const worker = (this.#worker ??= this.#start());
    const id = (this.#last += 1);
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      worker.postMessage({ id, file });
    });
  }

  #start() {
    const worker = startWorker();
    worker.addEventListener("message", ({ data: { id, sha256 } }) => {
      this.#waiting.get(id)?.(sha256);
      this.#waiting.delete(id);
    });
    worker.addEventListener("error", () => {
      this.#isBroken = true;
      for (const resolve of this.#waiting.values()) resolve(null);
      this.#waiting.clear();
    });
    return worker;
  }
}

export class Checks {
  #hasher = new Hasher();

  /** @param {Api} api @param {Limits} limits */
  constructor(api, limits) {
    this.api = api;
    this.limits = limits;
  }

  /**
   * Find type and hash of a file, and refuse it as the server would.
   * @param {{mediaType: string, sha256: string | null, record: object | null}} upload
   * @param {File} file
   * @throws {Refusal}
   */
  async inspect(upload, file) {
    const { formBytes, directBytes, mediaTypes } = this.limits;
    const limit = Math.max(formBytes, directBytes);
    if (file.size > limit) throw new Refusal(`Larger than ${sizeText(limit)}.`, "upload-too-large");
    const type = await mediaTypeOf(file);
    if (!type) throw new Refusal("This is no picture in a known format.", "not-an-image");
    if (!mediaTypes.includes(type)) throw new Refusal(`Images of type ${type} are not allowed.`, "format-not-allowed");
    upload.mediaType = type;
    if (!upload.record) upload.sha256 ??= await this.#hasher.hash(file);
  }

  /**
   * Return what the team has, by hash.
   * @param {{sha256: string | null}[]} uploads
   * @returns {Promise<Map<string | null, Known>>}
   */
  async findKnown(uploads) {
    const hashes = new Set(uploads.flatMap(({ sha256 }) => sha256 ?? []));
    if (!hashes.size) return new Map();
    try {
      const path = `/images/check-hashes${this.api.teamQuery}`;
      const { body } = await this.api.ask("POST", path, { body: { sha256: [...hashes] } });
      return new Map(body.items.map((/** @type {Known & {sha256: string}} */ each) => [each.sha256, each]));
    } catch {
      return new Map(); // The check only saves sending.
    }
  }
}
