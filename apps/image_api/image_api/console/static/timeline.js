// The images of a filter by month: numbers first, columns of what a grid needs as they are asked for, and their rows.

import { estimate, justify, lastAtMost, shownRatio } from "./justified-layout.js";

const API = "/api/v1/images";
const [PART, MOST_OF_AN_ANSWER] = [500, 2000];
export const HEADING = 48;

/** @typedef {import("./justified-layout.js").Shape} Shape */
/** @typedef {import("./justified-layout.js").Rows} Rows */
/** @typedef {{month: number, item: number}} Place */
/**
 * @typedef {object} Month
 * @property {string} name such as 2026-03
 * @property {number} count of its images, as far as known
 * @property {string[]} ids of the images that were loaded, and columns of the same length
 * @property {number[]} ratios
 * @property {(string | null)[]} placeholders
 * @property {string[]} statuses
 * @property {string | null | undefined} after where the following images begin; null if all are loaded
 * @property {Rows} rows
 * @property {number} top within the whole, in pixels
 * @property {number} height
 * @property {number} version rises when rows change that were there
 */
/** @typedef {{month: string, count: number, at_least?: boolean}} Counted */

/**
 * Ask the API, and ask again when told to wait.
 *
 * @param {string} path
 * @param {object} [body] of a POST
 * @returns {Promise<any>}
 */
export async function ask(path, body) {
  const token = document.querySelector("meta[name=csrf-token]")?.getAttribute("content") ?? "";
  const headers = { Accept: "application/json", "X-CSRF-Token": token, "Content-Type": "application/json" };
  const options = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  for (;;) {
    const answer = await fetch(API + path, options);
    if (answer.ok) return answer.json();
    const seconds = Number(answer.headers.get("Retry-After"));
    if (!seconds || (answer.status !== 429 && answer.status !== 503)) throw new Error(`${path}: ${answer.status}`);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

export class Timeline {
  /** @type {Month[]} */
  months = [];
  /** @type {string | null | undefined} */
  #before = undefined;
  /** @type {Shape} */
  #shape = { width: 1, target: 1, gap: 0 };
  height = 0;

  /** Is called with each change of heights, and makes it. @type {(change: () => void) => void} */
  around = (change) => change();

  /** @param {string} query the filters and the order */
  constructor(query) {
    this.query = query;
    this.byUpload = new URLSearchParams(query).get("order_by") === "created_at desc";
  }

  get isCounted() {
    return this.#before === null;
  }

  get isArranged() {
    return this.isCounted && this.months.every((month) => month.after === null || !month.count);
  }

  get total() {
    return this.months.reduce((sum, month) => sum + month.count, 0);
  }

  /** Count the months that follow those that are known. */
  async count() {
    const answer = await ask(`/timeline?${this.query}${this.#before ? `&before=${this.#before}` : ""}`);
    this.months.push(...answer.months.map((/** @type {Counted} */ counted) => this.#begin(counted)));
    this.#before = answer.next_before;
    this.around(() => this.#stack());
  }

  /** @param {Counted} counted @returns {Month} */
  #begin({ month: name, count, at_least }) {
    const columns = { ids: [], ratios: [], placeholders: [], statuses: [] };
    const place = { rows: justify([], this.#shape, false), top: 0, height: 0, version: 0 };
    return { name, count: at_least ? count + 1 : count, ...columns, after: undefined, ...place };
  }

  /** Count again down to the last month that is known: forget those with other numbers, and take in new ones. */
  async recount() {
    const last = this.months.at(-1)?.name ?? "";
    /** @type {Counted[]} */
    const counted = [];
    let before = null;
    do {
      const answer = await ask(`/timeline?${this.query}${before ? `&before=${before}` : ""}`);
      counted.push(...answer.months);
      before = answer.next_before;
    } while (before && before > last);
    const end = before ? counted.at(-1)?.month ?? "" : last;
    this.around(() => {
      const known = new Map(this.months.map((month) => [month.name, month]));
      const version = Math.max(0, ...this.months.map((month) => month.version)) + 1;
      const others = this.months.filter(({ name }) => name < end);
      this.months = counted.filter(({ month }) => month >= end).map((each) => known.get(each.month) ?? this.#begin(each));
      for (const [at, month] of this.months.entries()) {
        const { count = 0, at_least: isMore = false } = counted[at] ?? {};
        if (!isMore && month.count !== count) this.forget(month, count - month.count);
      }
      this.months.push(...others);
      // Rows are known by the index of their month, too.
      for (const month of this.months) month.version = version;
      this.months.forEach((month) => this.#arrange(month));
    });
  }

  /** Load images of a month until there are so many, or all. @param {number} at @param {number} [wanted] */
  async load(at, wanted = 1) {
    const month = this.#month(at);
    while (month.after !== null && month.ids.length < wanted) {
      const { after, version } = month;
      const limit = Math.min(MOST_OF_AN_ANSWER, Math.max(PART, wanted - month.ids.length));
      const from = after ? `&after=${encodeURIComponent(after)}` : "";
      const answer = await ask(`/timeline/${month.name}?${this.query}&limit=${limit}${from}`);
      // Somebody else asked for the same part, or the month has become another.
      if (month.after !== after || month.version !== version) continue;
      month.ids.push(...answer.id);
      month.ratios.push(...answer.ratio.map(shownRatio));
      month.placeholders.push(...answer.placeholder);
      month.statuses.push(...answer.status);
      month.after = answer.next_after;
      month.count = month.after === null ? month.ids.length : Math.max(month.count, month.ids.length + 1);
      this.around(() => this.#arrange(month));
    }
  }

  /** Forget the images of a month, of which there may be so many more. @param {Month} month @param {number} more */
  forget(month, more) {
    month.count += more;
    month.after = undefined;
    for (const column of [month.ids, month.ratios, month.placeholders, month.statuses]) column.length = 0;
    this.around(() => this.#arrange(month, 1));
  }

  /** Take images out. Return the months that had some. @param {Set<string>} gone */
  remove(gone) {
    /** @type {Month[]} */
    const changed = [];
    for (const month of this.months) {
      const kept = [...month.ids.keys()].filter((item) => !gone.has(month.ids[item] ?? ""));
      const number = month.ids.length - kept.length;
      if (!number) continue;
      changed.push(month);
      month.count -= number;
      const { ids, ratios, placeholders, statuses } = month;
      for (const column of /** @type {any[][]} */ ([ids, ratios, placeholders, statuses])) {
        column.splice(0, column.length, ...kept.map((item) => column[item]));
      }
    }
    this.around(() => changed.forEach((month) => this.#arrange(month, 1)));
    return changed;
  }

  /** Arrange all months in another width. @param {Shape} shape */
  reshape(shape) {
    this.around(() => {
      this.#shape = shape;
      this.months.forEach((month) => this.#arrange(month, 1));
      this.#stack();
    });
  }

  /** @param {Month} month @param {number} change of its version */
  #arrange(month, change = 0) {
    month.rows = justify(month.ratios, this.#shape, month.after === null);
    month.version += change;
    this.#stack();
  }

  #stack() {
    let top = 0;
    for (const month of this.months) {
      const left = month.count - inRows(month);
      month.top = top;
      month.height = month.count ? HEADING + month.rows.height + (left > 0 ? estimate(left, this.#shape) : 0) : 0;
      top += month.height;
    }
    this.height = top;
  }

  /** @param {number} at */
  #month(at) {
    return /** @type {Month} */ (this.months[at]);
  }

  /** Return the month at a height. @param {number} top */
  monthAt(top) {
    return lastAtMost(this.months.map((month) => month.top), top);
  }

  /** Return the picture at a height, and how far this is below the top of its row. @param {number} top */
  placeAt(top) {
    const at = this.monthAt(top);
    const month = this.months[at];
    if (!month) return null;
    const within = top - month.top - HEADING;
    const { rows } = month;
    if (within < rows.height) {
      const row = lastAtMost(rows.tops, within);
      return { month: at, item: rows.starts[row] ?? 0, below: within - (rows.tops[row] ?? 0) };
    }
    const share = (within - rows.height) / (month.height - HEADING - rows.height || 1);
    return { month: at, item: inRows(month) + Math.floor(share * (month.count - inRows(month))), below: 0 };
  }

  /** Return the row of a picture; `number` is -1 if it is not arranged yet. @param {Place} place */
  rowOf({ month: at, item }) {
    const month = this.#month(at);
    const { rows } = month;
    const left = item - inRows(month);
    if (left < 0) {
      const number = Math.min(lastAtMost(rows.starts, item), rows.tops.length - 1);
      return { number, top: month.top + HEADING + (rows.tops[number] ?? 0), height: rows.heights[number] ?? 0 };
    }
    const share = left / (month.count - inRows(month) || 1);
    const top = month.top + HEADING + rows.height + share * (month.height - HEADING - rows.height);
    return { number: -1, top, height: this.#shape.target };
  }

  /** Return the left edge and the width of each picture in a row. @param {Month} month @param {number} row */
  *boxes(month, row) {
    let left = 0;
    for (let item = month.rows.starts[row] ?? 0; item < (month.rows.starts[row + 1] ?? 0); item += 1) {
      const width = (month.ratios[item] ?? 1) * (month.rows.heights[row] ?? 0);
      yield { item, left, width };
      left += width + this.#shape.gap;
    }
  }

  /** Return the place so many pictures further on, across months. @param {Place} place @param {number} by */
  step({ month, item }, by) {
    let to = item + by;
    while (to < 0 && month > 0) to += this.#month(--month).count;
    while (to >= this.#month(month).count && month < this.months.length - 1) to -= this.#month(month++).count;
    return { month, item: Math.min(Math.max(0, to), Math.max(0, this.#month(month).count - 1)) };
  }

  /** Return the picture next above or below; null at the end. @param {Place} place @param {number} by 1 or -1 */
  async nextRow(place, by) {
    let at = place.month;
    let month = this.#month(at);
    const own = this.#box(place);
    let row = this.rowOf(place).number + by;
    if (row >= month.rows.tops.length && month.after !== null) await this.load(at, month.ids.length + 1);
    if (row < 0 || row >= month.rows.tops.length) {
      do at += by;
      while (this.months[at]?.count === 0);
      if (!this.months[at]) return null;
      month = this.#month(at);
      await this.load(at, by > 0 ? 1 : month.count);
      row = by > 0 ? 0 : month.rows.tops.length - 1;
    }
    const middle = own.left + own.width / 2;
    const distance = (/** @type {{left: number, width: number}} */ box) => Math.abs(box.left + box.width / 2 - middle);
    const [nearest] = [...this.boxes(month, row)].sort((a, b) => distance(a) - distance(b));
    return { month: at, item: nearest?.item ?? 0 };
  }

  /** Return the first or the last picture of a row. @param {Place} place @param {0 | 1} end */
  edgeOfRow(place, end) {
    const { starts } = this.#month(place.month).rows;
    const { number } = this.rowOf(place);
    return { month: place.month, item: (starts[number + end] ?? 0) - end };
  }

  /** @param {Place} place */
  #box(place) {
    const boxes = this.boxes(this.#month(place.month), this.rowOf(place).number);
    return [...boxes].find(({ item }) => item === place.item) ?? { left: 0, width: 0 };
  }

  /** Return the ids of at most so many images from one place to another. @param {Place} from @param {Place} to @param {number} most */
  async between(from, to, most) {
    const ids = [];
    for (let at = from.month; at <= to.month && ids.length < most; at += 1) {
      const start = at === from.month ? from.item : 0;
      const end = at === to.month ? to.item + 1 : Infinity;
      await this.load(at, Math.min(end, start + most - ids.length));
      ids.push(...this.#month(at).ids.slice(start, Math.min(end, start + most - ids.length)));
    }
    return ids;
  }
}

/** Return how many pictures of a month are in rows. @param {Month} month */
export function inRows(month) {
  return month.rows.starts.at(-1) ?? 0;
}
