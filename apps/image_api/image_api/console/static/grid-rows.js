// The elements of a grid's rows: a month's heading, or links to pictures with a box each.

import { colourOf } from "./grid-pictures.js";
import { inWords } from "./scrubber.js";

export const HEADING_ROW = -1;
const PENDING = new Set(["pending", "stored", "processing"]);

/** @typedef {import("./timeline.js").Month} Month */
/** @typedef {import("./grid-pictures.js").Picture} Picture */
/**
 * @typedef {{id: string, item: number, width: number, element: HTMLElement, link: HTMLAnchorElement,
 *   box: HTMLInputElement, shown: Picture | null | undefined, image: HTMLElement | null}} Cell
 * @typedef {{element: HTMLElement, month: number, row: number, top: number, cells: Cell[]}} Row
 */

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {object} properties
 * @param {(Node | string)[]} children
 */
export function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/**
 * Make a row.
 *
 * @param {number} at the index of its month
 * @param {Month} month
 * @param {number} row its number in the month, or `HEADING_ROW`
 * @param {Iterable<{item: number, left: number, width: number}>} boxes of its pictures
 * @param {string} query of the links
 * @returns {Row}
 */
export function makeRow(at, month, row, boxes, query) {
  const element = make("div", { role: "row", className: "pictures" });
  if (row === HEADING_ROW) {
    element.append(make("div", { role: "rowheader" }, make("h2", {}, inWords(month.name))));
    return { element, month: at, row, top: 0, cells: [] };
  }
  const height = month.rows.heights[row] ?? 0;
  const cells = [];
  for (const { item, left, width } of boxes) {
    const id = month.ids[item] ?? "";
    const link = make("a", { href: `/console/images/${id}${query}`, ariaLabel: "Image", tabIndex: -1 });
    const box = make("input", { type: "checkbox", ariaLabel: "Select the image", tabIndex: -1 });
    const cell = make("div", { role: "gridcell", className: "cell" }, link, box);
    Object.assign(cell.style, { left: `${left}px`, width: `${width}px`, height: `${height}px` });
    link.style.backgroundColor = colourOf(month.placeholders[item]);
    const status = month.statuses[item] ?? "ready";
    if (status !== "ready") {
      const badge = make("span", { className: `badge ${status === "failed" ? "danger" : "info"}` }, status);
      badge.dataset.status = status;
      cell.append(badge);
    }
    // `live.js` watches what is not final.
    if (PENDING.has(status)) cell.dataset.liveImage = id;
    element.append(cell);
    cells.push({ id, item, width, element: cell, link, box, shown: undefined, image: null });
  }
  return { element, month: at, row, top: 0, cells };
}
