// Addresses of pictures in a grid: asked for what is in sight, and again before they expire or when one fails.

import { ask } from "./timeline.js";

const [FRESH_MS, SIGNED_MS, MOST_KEPT] = [5 * 60_000, 3_600_000, 3000];
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/**
 * @typedef {object} Picture what is known of an image that was asked for
 * @property {string} name
 * @property {string} src empty if nothing can be shown
 * @property {string} srcset
 * @property {number} width
 * @property {number} height
 * @property {number} expiresAt in milliseconds since 1970
 */

/** Return the average colour of a picture by its BlurHash. @param {string | null | undefined} hash */
export function colourOf(hash) {
  if (!hash || hash.length < 6) return "";
  const number = [...hash.slice(2, 6)].reduce((sum, digit) => sum * 83 + DIGITS.indexOf(digit), 0);
  return `rgb(${number >> 16} ${(number >> 8) & 255} ${number & 255})`;
}

export class Pictures {
  /** @type {Map<string, Picture>} */
  #known = new Map();
  /** @type {Set<string>} */
  #failed = new Set();

  /** Take over what the server has sent. @param {Iterable<HTMLAnchorElement>} links to images */
  adopt(links) {
    const expiresAt = Date.now() + SIGNED_MS;
    for (const link of links) {
      const shown = link.querySelector("img");
      const id = link.pathname.split("/").at(-1) ?? "";
      const { src = "", srcset = "", width = 0, height = 0 } = shown ?? {};
      this.#known.set(id, { name: shown?.alt ?? link.textContent?.trim() ?? "", src, srcset, width, height, expiresAt });
    }
  }

  /** @param {string} id */
  get(id) {
    return this.#known.get(id);
  }

  /** Ask for the pictures that are not known or about to expire. @param {string[]} ids */
  async want(ids) {
    const soon = Date.now() + FRESH_MS;
    const wanted = ids.filter((id) => (this.#known.get(id)?.expiresAt ?? 0) < soon);
    if (!wanted.length) return false;
    const { items, not_found: gone } = await ask("/batch-get", { ids: wanted, include: ["delivery"] });
    for (const { id, alt_text: alt, description, filename, delivery } of items) {
      const { url: src = "", srcset, width, height } = delivery?.presets.thumb ?? {};
      const name = alt?.text ?? description ?? filename ?? `Image ${id}`;
      const expiresAt = src && delivery.expires_at ? Date.parse(delivery.expires_at) : Date.now() + SIGNED_MS;
      this.#known.delete(id);
      this.#known.set(id, { name, src, srcset: srcset ?? "", width: width ?? 0, height: height ?? 0, expiresAt });
    }
    for (const id of gone) {
      this.#known.set(id, { name: "No longer there", src: "", srcset: "", width: 0, height: 0, expiresAt: Infinity });
    }
    for (const id of this.#known.keys()) {
      if (this.#known.size <= MOST_KEPT) break;
      this.#known.delete(id);
    }
    return true;
  }

  /** Ask again for a picture, or for all. @param {string} [id] */
  forget(id) {
    if (id) this.#known.delete(id);
    else this.#known.clear();
    this.#failed.clear();
  }

  /**
   * Return the element that shows a picture.
   *
   * @param {string} id
   * @param {Picture} picture
   * @param {number} width as it is shown
   * @param {() => void} renew is called once, when its address fails
   */
  element(id, picture, width, renew) {
    const shown = Object.assign(document.createElement("img"), { alt: picture.name, decoding: "async" });
    if (picture.width) Object.assign(shown, { width: picture.width, height: picture.height });
    shown.addEventListener("error", () => {
      if (this.#failed.has(id)) return;
      this.#failed.add(id);
      this.#known.delete(id);
      renew();
    });
    if (picture.srcset) Object.assign(shown, { sizes: `${Math.ceil(width)}px`, srcset: picture.srcset });
    shown.src = picture.src;
    return shown;
  }
}
