// Which images of a grid are chosen: said to the page by events, to people by a live region, and kept while one is open.

export const MOST_SELECTED = 1000;

export class Selection {
  /** @type {Set<string>} */
  ids = new Set();
  /** The number of all images that match, if they were chosen together and are more than `ids`. @type {number | null} */
  total = null;

  /**
   * @param {HTMLElement} grid dispatches `selection-change`
   * @param {HTMLElement} status is told how many are chosen
   * @param {boolean} isKept whether the page comes back to a selection
   */
  constructor(grid, status, isKept) {
    this.grid = grid;
    this.status = status;
    this.key = `selection:${grid.dataset.timeline}`;
    const kept = isKept ? sessionStorage.getItem(this.key) : null;
    if (!kept) return;
    const { ids, total } = JSON.parse(kept);
    this.ids = new Set(ids);
    this.total = total;
    // The scripts that listen may come after this one.
    addEventListener("load", () => this.#tell());
  }

  get size() {
    return this.total ?? this.ids.size;
  }

  /** @param {string} id */
  has(id) {
    return this.total !== null || this.ids.has(id);
  }

  /** @param {string} id */
  toggle(id) {
    this.total = null;
    if (!this.ids.delete(id)) this.ids.add(id);
    this.#change();
  }

  /** Add images. @param {string[]} ids */
  add(ids) {
    this.total = null;
    for (const id of ids) this.ids.add(id);
    this.#change();
  }

  /** Choose all images that match: the first of them, and the number of all. @param {string[]} ids @param {number} total */
  all(ids, total) {
    this.ids = new Set(ids);
    this.total = total > ids.length ? total : null;
    this.#change();
  }

  /** @param {Iterable<string>} ids */
  remove(ids) {
    const before = this.size;
    for (const id of ids) if (this.ids.delete(id) && this.total !== null) this.total -= 1;
    if (this.size !== before) this.#change();
  }

  clear() {
    if (!this.size) return;
    this.ids.clear();
    this.total = null;
    this.#change();
  }

  #change() {
    if (this.size) sessionStorage.setItem(this.key, JSON.stringify({ ids: [...this.ids], total: this.total }));
    else sessionStorage.removeItem(this.key);
    this.#tell();
  }

  #tell() {
    const number = this.size.toLocaleString("en");
    this.status.textContent = this.total === null ? `${number} selected` : `All ${number} images that match selected`;
    const detail = { ids: [...this.ids], total: this.total };
    this.grid.dispatchEvent(new CustomEvent("selection-change", { bubbles: true, detail }));
  }
}
