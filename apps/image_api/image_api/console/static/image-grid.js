// Makes the list of images a grid of all that match, by month: for the mouse, touch and the keyboard, with a selection.

import { make } from "./grid-rows.js";
import { GridView } from "./grid-view.js";
import { Pictures } from "./grid-pictures.js";
import { Scrubber } from "./scrubber.js";
import { MOST_SELECTED, Selection } from "./selection.js";
import { Timeline, ask } from "./timeline.js";

const [SETTLED_MS, PART_OF_A_DAY] = [300, 500];

/** @typedef {import("./timeline.js").Place} Place */
/** @typedef {{month: string, item: number, below: number, id?: string | undefined}} Remembered kept in the history */

const root = /** @type {HTMLElement} */ (document.querySelector("[data-image-grid]"));
const pager = /** @type {HTMLElement | null} */ (document.querySelector("nav.pager"));
const isSelectable = "selectable" in root.dataset;
const served = [...root.childNodes];
const opened = new URLSearchParams(location.search).get("at");
const status = make("p", { className: "hidden", role: "status" });
const nothing = make("p", { hidden: true }, "No image is left here.");
const timeline = new Timeline(root.dataset.timeline ?? "");
const pictures = new Pictures();
const selection = new Selection(root, status, opened !== null);
// The last month leads to its end, where the oldest picture is.
const scrubber = new Scrubber((month) => view.scrollTo(timeline.months[month + 1] ? timeline.months[month]?.top ?? 0 : timeline.height));
const view = new GridView(root, timeline, pictures, selection, (month) => scrubber.show(month));
/** Where a range begins. @type {Place | null} */
let begun = null;
/** The months that images were taken out of. @type {Set<string>} */
const removedFrom = new Set();
let [drawing, settling, counted, moving] = [0, 0, Promise.resolve(), Promise.resolve()];

// Opening a picture, and coming back to it.

/** @param {Place} place @param {string} [id] of the picture with the focus */
function remember(place, id) {
  const below = timeline.rowOf(place).top - view.top;
  /** @type {Remembered} */
  const remembered = { month: timeline.months[place.month]?.name ?? "", item: place.item, below, id };
  const address = new URL(location.href);
  if (id) address.searchParams.set("at", id);
  history.replaceState({ ...history.state, grid: remembered }, "", address);
}

function rememberSoon() {
  clearTimeout(settling);
  settling = setTimeout(() => {
    const place = view.cellOf(document.activeElement)?.place ?? timeline.placeAt(view.top);
    if (place) remember(place);
  }, SETTLED_MS);
}

/** Return where the address leads, if the history does not know it. @param {string} id @returns {Promise<Remembered | null>} */
async function find(id) {
  const { items } = await ask("/batch-get", { ids: [id] }).catch(() => ({ items: [] }));
  if (!items.length) return null;
  const time = (!timeline.byUpload && items[0].taken_local) || items[0].created_at;
  return { month: time.slice(0, 7), item: 0, below: innerHeight / 3, id };
}

/** Scroll to where this entry of the history was; put the focus on the picture that was opened. */
async function comeBack() {
  /** @type {Remembered | null} */
  const to = history.state?.grid ?? (opened && (await find(opened)));
  if (!to) return;
  while (!timeline.isCounted && (timeline.months.at(-1)?.name ?? "") > to.month) await timeline.count();
  const at = timeline.months.findIndex(({ name }) => name <= to.month);
  const month = timeline.months[at];
  if (!month) return;
  let item = month.name === to.month ? to.item : 0;
  const id = to.id ?? opened;
  await timeline.load(at, item + 1);
  while (id && !month.ids.includes(id) && month.after && !history.state?.grid) await timeline.load(at, month.ids.length + 1);
  if (id && month.ids.includes(id)) item = month.ids.indexOf(id);
  if (id) await view.go({ month: at, item }, to.below);
  else view.scrollTo(timeline.rowOf({ month: at, item }).top - to.below);
}

// Choosing.

/** @param {Place} place @param {string} id @param {boolean} isRange */
async function choose(place, id, isRange) {
  const from = begun ?? place;
  begun = place;
  if (!isRange) return selection.toggle(id);
  const isAfter = from.month < place.month || (from.month === place.month && from.item <= place.item);
  selection.add(await timeline.between(isAfter ? from : place, isAfter ? place : from, MOST_SELECTED));
}

async function chooseAll() {
  await counted;
  const [first, last] = [{ month: 0, item: 0 }, { month: timeline.months.length - 1, item: Infinity }];
  selection.all(await timeline.between(first, last, MOST_SELECTED), timeline.total);
}

// Keys.

/** Return the picture so many rows further down, or up. @param {Place} place @param {number} by */
async function below(place, by) {
  let at = { ...place };
  for (let left = Math.abs(by); left > 0; left -= 1) {
    const next = await timeline.nextRow(at, Math.sign(by));
    if (!next) break;
    at = next;
  }
  return at;
}

/** Return where a key leads; undefined if it is none that moves. @param {KeyboardEvent} event */
function target({ key, ctrlKey }) {
  const { current } = view;
  const page = Math.max(1, Math.floor(innerHeight / timeline.rowOf(current).height) - 1);
  /** @type {Record<string, () => Place | Promise<Place>>} */
  const moves = {
    ArrowRight: () => timeline.step(current, 1),
    j: () => timeline.step(current, 1),
    ArrowLeft: () => timeline.step(current, -1),
    k: () => timeline.step(current, -1),
    ArrowDown: () => below(current, 1),
    ArrowUp: () => below(current, -1),
    PageDown: () => below(current, page),
    PageUp: () => below(current, -page),
    Home: () => timeline.edgeOfRow(current, 0),
    End: () => timeline.edgeOfRow(current, 1),
  };
  /** @type {typeof moves} */
  const far = {
    Home: () => timeline.step({ month: 0, item: 0 }, 0),
    End: () => timeline.step({ month: timeline.months.length - 1, item: Infinity }, 0),
  };
  return (ctrlKey ? far : moves)[key];
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
  const found = view.cellOf(event.target);
  if (!found || altKey) return;
  const move = metaKey ? undefined : target(event);
  if (move) {
    event.preventDefault();
    // Keys that come faster than pictures wait for each other.
    moving = moving.then(async () => view.go(await /** @type {() => Place | Promise<Place>} */ (target(event))())).catch(() => {});
  } else if (!isSelectable) {
    return;
  } else if ((ctrlKey || metaKey) && key === "a") {
    event.preventDefault();
    chooseAll().catch(() => {});
  } else if (ctrlKey || metaKey) {
    return;
  } else if (key.toLowerCase() === "x" || (key === " " && event.target === found.cell.link)) {
    event.preventDefault();
    choose(found.place, found.cell.id, shiftKey).catch(() => {});
  } else if (key === "Escape" && selection.size) {
    event.preventDefault();
    selection.clear();
  } else if (key === "#" || key === "Delete") {
    event.preventDefault();
    const ids = selection.size ? [...selection.ids] : [found.cell.id];
    const detail = { action: "trash", ids };
    root.dispatchEvent(new CustomEvent("selection-action", { bubbles: true, detail }));
  }
}

/** @param {MouseEvent} event */
function onClick(event) {
  const found = view.cellOf(event.target);
  if (!found) return;
  view.current = found.place;
  const { place, cell } = found;
  const isBox = event.target === cell.box;
  if (isSelectable && (isBox || event.shiftKey)) {
    if (!isBox) event.preventDefault();
    // A box shows what is chosen once that has changed.
    choose(place, cell.id, event.shiftKey).then(() => view.paint(), () => view.paint());
  } else if (!event.ctrlKey && !event.metaKey && !event.shiftKey) {
    clearTimeout(settling);
    remember(place, cell.id);
  }
}

function showTotal() {
  nothing.hidden = timeline.total > 0;
  scrubber.element.hidden = !timeline.total;
  if (timeline.total) scrubber.fill(timeline.months);
}

/** @param {CustomEvent<{ids: string[]}>} event */
function onRemoved({ detail: { ids } }) {
  const gone = new Set(ids);
  const id = timeline.months[view.current.month]?.ids[view.current.item] ?? "";
  const { month, item } = view.current;
  const before = timeline.months[month]?.ids.slice(0, item).filter((each) => gone.has(each));
  view.current = { month, item: item - (before?.length ?? 0) };
  for (const { name } of timeline.remove(gone)) removedFrom.add(name);
  selection.remove(ids);
  showTotal();
  if (gone.has(id) && timeline.total) view.go(timeline.step(view.current, 0));
  else view.focus();
}

function onRestored() {
  onAdded().catch(() => {});
  // Of months with very many images, the number alone does not say that there are others.
  for (const month of timeline.months) if (removedFrom.delete(month.name)) timeline.forget(month, 0);
}

/** Take in what was uploaded or restored on this page. */
async function onAdded() {
  const hadFocus = root.contains(document.activeElement);
  const id = timeline.months[view.current.month]?.ids[view.current.item];
  begun = null;
  await timeline.recount();
  showTotal();
  const { month: at, item } = view.current;
  const month = timeline.months[at];
  if (month && id) {
    await timeline.load(at, Math.min(month.count, item + PART_OF_A_DAY));
    if (month.ids.includes(id)) view.current = { month: at, item: month.ids.indexOf(id) };
    if (hadFocus) await view.go(view.current);
  }
  view.fillSoon();
}

function listen() {
  root.addEventListener("keydown", onKey);
  root.addEventListener("click", onClick);
  root.addEventListener("focusin", (event) => {
    view.current = view.cellOf(event.target)?.place ?? view.current;
    view.paint();
  });
  root.addEventListener("selection-change", () => view.paint());
  root.addEventListener("selection-clear", () => selection.clear());
  root.addEventListener("images-removed", (event) => onRemoved(/** @type {CustomEvent} */ (event)));
  root.addEventListener("images-restored", onRestored);
  document.addEventListener("images-added", () => onAdded().catch(() => {}));
  root.addEventListener("image-final", (event) => {
    const found = view.cellOf(event.target);
    if (found) view.refresh(found.place, found.cell, /** @type {CustomEvent} */ (event).detail.status);
  });
  addEventListener("scroll", () => {
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      view.render();
    });
    view.fillSoon();
    rememberSoon();
  }, { passive: true });
  let { clientWidth: width } = root;
  new ResizeObserver(() => {
    if (root.clientWidth !== width) view.measure();
    width = root.clientWidth;
    view.fillSoon();
  }).observe(root);
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    pictures.forget();
    view.fillSoon();
  });
}

async function countAll() {
  while (!timeline.isCounted) {
    await timeline.count();
    scrubber.fill(timeline.months);
  }
}

async function start() {
  history.scrollRestoration = "manual";
  pictures.adopt(/** @type {NodeListOf<HTMLAnchorElement>} */ (root.querySelectorAll(".tile > a")));
  // What the server has sent would move.
  root.replaceChildren();
  await timeline.count();
  if (!timeline.total) throw new Error("nothing to show");
  Object.assign(root, { role: "grid", ariaLabel: "Images", ariaMultiSelectable: "true" });
  root.classList.add("virtual");
  root.after(scrubber.element, nothing, status);
  if (pager) pager.hidden = true;
  scrubber.fill(timeline.months);
  view.measure();
  await timeline.load(0);
  view.start();
  listen();
  await comeBack();
  view.fillSoon();
  counted = countAll();
  await counted;
}

start().catch(() => {
  history.scrollRestoration = "auto";
  root.replaceChildren(...served);
  root.removeAttribute("role");
  root.classList.remove("virtual");
  root.style.height = "";
  scrubber.element.remove();
  if (pager) pager.hidden = false;
});
