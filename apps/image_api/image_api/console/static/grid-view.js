// The part of a timeline that is in the page: the rows about the window, and the pictures next to its middle.

import { MOST_PX, lastAtMost, proportion } from "./justified-layout.js";
import { HEADING_ROW, make, makeRow } from "./grid-rows.js";
import { HEADING } from "./timeline.js";

const [GAP, MOST_IMAGES, AHEAD, FILL_MS] = [6, 180, 1, 100];
const [LOW_ROW, HIGH_ROW, NARROW] = [120, 190, 600];

/** @typedef {import("./timeline.js").Month} Month */
/** @typedef {import("./timeline.js").Place} Place */
/** @typedef {import("./grid-pictures.js").Picture} Picture */
/** @typedef {import("./grid-rows.js").Cell} Cell */
/** @typedef {import("./grid-rows.js").Row} Row */

export class GridView {
  /** The picture that the Tab key reaches. @type {Place} */
  current = { month: 0, item: 0 };
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #isStarted = false;
  #isFilling = false;
  #timer = 0;

  /**
   * @param {HTMLElement} root
   * @param {import("./timeline.js").Timeline} timeline
   * @param {import("./grid-pictures.js").Pictures} pictures
   * @param {import("./selection.js").Selection} selection
   * @param {(month: number) => void} onMonth is told which month is at the top
   */
  constructor(root, timeline, pictures, selection, onMonth) {
    this.root = root;
    this.timeline = timeline;
    this.pictures = pictures;
    this.selection = selection;
    this.onMonth = onMonth;
    timeline.around = (change) => this.#keepInSight(change);
  }

  /** Begin to show what is in sight. */
  start() {
    this.#isStarted = true;
    this.#keepInSight(() => {});
  }

  // Heights: a `top` is one in the whole content, which may be higher than what a page can scroll.

  get #scrolled() {
    return Math.max(0, -this.root.getBoundingClientRect().top);
  }

  get #factor() {
    return proportion(this.timeline.height, innerHeight);
  }

  get top() {
    return this.#scrolled * this.#factor;
  }

  /** @param {number} top */
  scrollTo(top) {
    scrollTo(0, this.root.getBoundingClientRect().top + scrollY + top / this.#factor);
  }

  /** Arrange the rows in the width that there is. */
  measure() {
    const width = this.root.clientWidth;
    this.timeline.reshape({ width, target: width < NARROW ? LOW_ROW : HIGH_ROW, gap: GAP });
  }

  /** Change heights, and scroll to where the picture at the top of the window then is. @param {() => void} change */
  #keepInSight(change) {
    if (!this.#isStarted) return change();
    const top = this.top;
    const place = top > 0 ? this.timeline.placeAt(top) : null;
    // Months may come between those that are there.
    const months = [place, this.current].map((each) => each && this.timeline.months[each.month]);
    change();
    for (const [at, each] of [place, this.current].entries()) {
      const month = months[at];
      if (each && month) each.month = Math.max(0, this.timeline.months.indexOf(month));
    }
    this.root.style.height = `${Math.min(this.timeline.height, MOST_PX)}px`;
    if (place) this.scrollTo(this.timeline.rowOf(place).top + place.below);
    this.render();
  }

  /** Return the rows about the window in order: their month, its index, their number in it, and top. */
  *#rowsInSight() {
    const { months } = this.timeline;
    const from = this.top - AHEAD * innerHeight;
    const to = this.top + (1 + AHEAD) * innerHeight;
    for (let at = this.timeline.monthAt(from); at < months.length; at += 1) {
      const month = /** @type {Month} */ (months[at]);
      if (month.top > to) return;
      if (!month.count) continue;
      yield { at, month, row: HEADING_ROW, top: month.top };
      const { tops } = month.rows;
      for (let row = lastAtMost(tops, from - month.top - HEADING); row < tops.length; row += 1) {
        const top = month.top + HEADING + (tops[row] ?? 0);
        if (top > to) return;
        yield { at, month, row, top };
      }
    }
  }

  /** Put the rows about the window into the page, and take the others out, except the one with the focus. */
  render() {
    const [scrolled, top] = [this.#scrolled, this.top];
    const focused = this.root.contains(document.activeElement) ? document.activeElement : null;
    const query = this.root.dataset.images ? `?${this.root.dataset.images}` : "";
    /** @type {Map<string, Row>} */
    const kept = new Map();
    for (const { at, month, row, top: rowTop } of this.#rowsInSight()) {
      const key = `${at}.${month.version}.${row}`;
      const shown = this.#rows.get(key) ?? makeRow(at, month, row, this.timeline.boxes(month, row), query);
      shown.top = rowTop;
      kept.set(key, shown);
    }
    for (const [key, row] of this.#rows) {
      if (kept.has(key)) continue;
      const month = this.timeline.months[row.month];
      if (row.element.contains(focused) && month && key.startsWith(`${row.month}.${month.version}.`)) {
        row.top = month.top + HEADING + (month.rows.tops[row.row] ?? 0);
        kept.set(key, row);
      } else {
        for (const cell of row.cells) this.#show(cell, undefined);
        row.element.remove();
      }
    }
    this.#rows = kept;
    let next = this.root.firstChild;
    for (const row of [...kept.values()].sort((a, b) => a.month - b.month || a.row - b.row)) {
      row.element.style.transform = `translateY(${row.top - top + scrolled}px)`;
      if (row.element === next) next = next.nextSibling;
      else this.root.insertBefore(row.element, next);
    }
    this.onMonth(this.timeline.monthAt(top + HEADING));
    if (!focused) this.#chooseCurrent(top);
    this.#number();
    this.paint();
    if (focused && !focused.isConnected) this.focus();
  }

  /** Let the Tab key reach a picture in sight. @param {number} top */
  #chooseCurrent(top) {
    const isInSight = (/** @type {Row} */ row) => row.cells.length > 0 && row.top >= top && row.top < top + innerHeight;
    const inSight = [...this.#rows.values()].filter(isInSight);
    const { month, item } = this.current;
    if (inSight.some((row) => row.month === month && row.cells.some((cell) => cell.item === item))) return;
    const [first] = inSight;
    if (first) this.current = { month: first.month, item: first.cells[0]?.item ?? 0 };
  }

  /** Number the rows once all are known. */
  #number() {
    const { months, isArranged } = this.timeline;
    this.root.ariaRowCount = isArranged ? String(months.reduce((sum, { rows }) => sum + rows.tops.length + 1, 0)) : "-1";
    if (!isArranged) return;
    for (const { element, month, row } of this.#rows.values()) {
      const before = months.slice(0, month).reduce((sum, { rows }) => sum + rows.tops.length + 1, 0);
      element.ariaRowIndex = String(before + row + 2);
    }
  }

  /** Show pictures, names and the selection. */
  paint() {
    const middle = this.top + innerHeight / 2;
    const byDistance = [...this.#rows.values()].sort((a, b) => Math.abs(a.top - middle) - Math.abs(b.top - middle));
    let left = MOST_IMAGES;
    for (const { month, cells } of byDistance) {
      for (const cell of cells) {
        const picture = left > 0 ? this.pictures.get(cell.id) : undefined;
        if (picture?.src) left -= 1;
        if (picture !== cell.shown) this.#show(cell, picture);
        const isSelected = this.selection.has(cell.id);
        cell.element.ariaSelected = String(isSelected);
        cell.box.checked = isSelected;
        cell.link.tabIndex = month === this.current.month && cell.item === this.current.item ? 0 : -1;
      }
    }
    this.root.classList.toggle("choosing", this.selection.size > 0);
  }

  /** @param {Cell} cell @param {Picture | undefined} picture */
  #show(cell, picture) {
    // Without an address, it neither loads on nor stays decoded.
    for (const name of ["srcset", "src"]) cell.image?.removeAttribute(name);
    cell.image?.remove();
    cell.shown = picture;
    cell.image = null;
    if (!picture) return;
    cell.box.ariaLabel = `Select ${picture.name}`;
    cell.link.ariaLabel = picture.name;
    const image = picture.src
      ? this.pictures.element(cell.id, picture, cell.width, () => this.fillSoon())
      : make("span", { className: "blank" }, picture.name);
    cell.link.append(image);
    cell.image = image;
  }

  /** Show what became of an image. @param {Place} place @param {Cell} cell @param {string} status */
  refresh({ month, item }, cell, status) {
    const { statuses } = this.timeline.months[month] ?? { statuses: [] };
    statuses[item] = status;
    this.pictures.forget(cell.id);
    cell.link.replaceChildren();
    if (status === "ready") cell.element.querySelector(".badge")?.remove();
    this.fillSoon();
  }

  /** Return the cell at a place, if it is in the page. @param {Place} place */
  cellAt({ month, item }) {
    for (const row of this.#rows.values()) {
      const found = row.month === month ? row.cells.find((cell) => cell.item === item) : null;
      if (found) return found;
    }
    return null;
  }

  /** Return the cell of an element, and its place. @param {EventTarget | null} target */
  cellOf(target) {
    const element = target instanceof Element ? target.closest(".cell") : null;
    for (const { month, cells } of element ? this.#rows.values() : []) {
      const cell = cells.find((each) => each.element === element);
      if (cell) return { place: { month, item: cell.item }, cell };
    }
    return null;
  }

  focus() {
    this.cellAt(this.current)?.link.focus({ preventScroll: true });
  }

  /** Scroll to a picture and put the focus on it. @param {Place} place @param {number} [below] how far below the window's top */
  async go(place, below) {
    await this.timeline.load(place.month, place.item + 1);
    const count = this.timeline.months[place.month]?.count ?? 0;
    this.current = { month: place.month, item: Math.max(0, Math.min(place.item, count - 1)) };
    const { top, height } = this.timeline.rowOf(this.current);
    const isInSight = top - HEADING >= this.top && top + height <= this.top + innerHeight;
    if (below !== undefined) this.scrollTo(top - below);
    else if (!isInSight) this.scrollTo(top < this.top + HEADING ? top - HEADING : top + height + GAP - innerHeight);
    this.render();
    const cell = this.cellAt(this.current);
    // Above the grid there may be other content in the window.
    cell?.element.scrollIntoView({ block: "nearest" });
    cell?.link.focus({ preventScroll: true });
    this.paint();
    this.fillSoon();
  }

  /** Ask soon for what is in sight. */
  fillSoon() {
    this.#timer ||= setTimeout(() => this.#fill(), FILL_MS);
  }

  /** Load what is in sight, part by part, as that changes meanwhile. */
  async #fill() {
    this.#timer = 0;
    if (this.#isFilling) return this.fillSoon();
    this.#isFilling = true;
    try {
      while (await this.#loadNext());
      const inSight = [...this.#rows.values()].flatMap((row) => row.cells.map(({ id }) => id));
      if (await this.pictures.want(inSight)) this.paint();
    } catch {
      // It is tried again the next time that somebody scrolls.
    } finally {
      this.#isFilling = false;
    }
  }

  /** Load a part that is in sight; return whether there was one. */
  async #loadNext() {
    const [top, margin] = [this.top, AHEAD * innerHeight];
    const end = this.timeline.placeAt(top + innerHeight + margin);
    for (let at = this.timeline.monthAt(top - margin); end && at <= end.month; at += 1) {
      const month = this.timeline.months[at];
      const wanted = Math.min(month?.count ?? 0, at === end.month ? end.item + 20 : Infinity);
      if (!month || month.after === null || month.ids.length >= wanted) continue;
      await this.timeline.load(at, wanted);
      return true;
    }
    return false;
  }
}
