// Shows the picture of a page in full view, where it can be enlarged and moved, and leads to its neighbors by keys.

const [STEP, CLICK, MOST] = [1.5, 2.5, 8];
const [PAN_PX, SLIP_PX] = [80, 4];
/** @type {Record<string, [number, number]>} */
const PANS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
/** @type {Record<string, string>} */ const STEPS = { ArrowLeft: "prev", k: "prev", ArrowRight: "next", j: "next" };
// Nothing has these ids, so the page does not scroll to them.
const FULL = "#full";
const FOCUSED = "#viewer";

const figure = /** @type {HTMLElement} */ (document.querySelector("figure[data-viewer]"));
const opener = /** @type {HTMLAnchorElement} */ (figure.querySelector("a"));
const dialog = /** @type {HTMLDialogElement} */ (document.querySelector("dialog[data-viewer]"));
const stage = /** @type {HTMLElement} */ (dialog.querySelector("[data-stage]"));
const status = /** @type {HTMLElement} */ (dialog.querySelector("output"));
const list = /** @type {HTMLAnchorElement} */ (document.querySelector("a[data-list]"));
/** @type {HTMLElement | null} */ const trash = document.querySelector("a[data-trash]");
const picture = /** @type {HTMLImageElement} */ (opener.querySelector("img")?.cloneNode());
Object.assign(picture, { sizes: "100vw", draggable: false, loading: "lazy" }); // It is loaded once it is shown.
stage.append(picture);

let [scale, x, y] = [1, 0, 0];
let isSharp = !figure.dataset.original;

/** @param {number} left @param {number} top the middle of the picture, in pixels from the middle of the stage */
function place(left, top) {
  const [most, highest] = [stage.clientWidth, stage.clientHeight].map((each) => ((scale - 1) * each) / 2);
  x = Math.max(-(most ?? 0), Math.min(most ?? 0, left));
  y = Math.max(-(highest ?? 0), Math.min(highest ?? 0, top));
  picture.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
  stage.classList.toggle("zoomed", scale > 1);
  status.textContent = `${Math.round(scale * 100)} %`;
}

/** @param {number} to @param {{ clientX: number, clientY: number }} [at] what stays in its place; the middle without it */
function zoom(to, at) {
  const next = Math.max(1, Math.min(MOST, to));
  const box = stage.getBoundingClientRect();
  const [left, top] = at ? [at.clientX - box.left - box.width / 2, at.clientY - box.top - box.height / 2] : [0, 0];
  const ratio = next / scale;
  scale = next;
  place(left - (left - x) * ratio, top - (top - y) * ratio);
  if (scale > 1 && !isSharp) sharpen();
}

// The file itself is loaded only for who looks closely. If that fails, the smaller picture stays.
async function sharpen() {
  isSharp = true;
  const original = new Image();
  original.src = figure.dataset.original ?? "";
  try {
    await original.decode();
    picture.srcset = "";
    picture.src = original.src;
  } catch {}
}

function open() {
  if (dialog.open) return;
  opener.focus({ preventScroll: true }); // Where the focus returns to.
  dialog.showModal();
  zoom(1);
}

/** @param {string} way `prev` or `next` */
function step(way) {
  /** @type {HTMLAnchorElement | null} */ const link = document.querySelector(`main a[rel=${way}]`);
  // In the place of this page, so that going back leads to the list.
  if (link) location.replace(link.href + (dialog.open ? FULL : FOCUSED));
}

/** @param {string | undefined} url */
const isList = (url) => Boolean(url) && new URL(url ?? "").pathname === list.pathname;

function leave() {
  const { navigation } = /** @type {any} */ (window);
  const hasStepped = location.hash === FULL || location.hash === FOCUSED;
  if (!hasStepped && isList(navigation?.entries()[navigation.currentEntry.index - 1]?.url)) history.back();
  else location[hasStepped ? "replace" : "assign"](list.href);
}

/** @param {KeyboardEvent} event */
function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const { key } = event;
  const [left, top] = PANS[key] ?? [0, 0];
  if (dialog.open && scale > 1 && PANS[key]) place(x + left * PAN_PX, y + top * PAN_PX);
  else if (STEPS[key]) step(STEPS[key]);
  else if (key === "+" || key === "=") open(), zoom(scale * STEP);
  else if (key === "-") zoom(scale / STEP);
  else if (key === "0") zoom(1);
  else if (key === "#" || key === "Delete") trash?.click();
  else if (key === "Escape" && !dialog.open) leave();
  else return;
  event.preventDefault();
}

for (const each of [figure, dialog]) each.addEventListener("keydown", press);
/** @type {[HTMLElement, () => void][]} */ const acts = [[opener, open], [list, leave]];
for (const button of dialog.querySelectorAll("button")) {
  const { zoom: power, step: way } = button.dataset;
  if (power) acts.push([button, () => zoom(Number(power) ? scale * STEP ** Number(power) : 1)]);
  if (way) acts.push([button, () => step(way)]);
}
for (const [element, act] of acts) {
  element.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    act();
  });
}

stage.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoom(scale * 2 ** (-event.deltaY / 200), event);
}, { passive: false });

/** @type {Map<number, PointerEvent>} */ const points = new Map();
let travelled = 0;
stage.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  stage.setPointerCapture(event.pointerId);
  points.set(event.pointerId, event);
  travelled = points.size > 1 ? SLIP_PX : 0;
});
stage.addEventListener("pointermove", (event) => {
  const last = points.get(event.pointerId);
  if (!last) return;
  points.set(event.pointerId, event);
  const other = [...points.values()].find((each) => each.pointerId !== event.pointerId);
  const [right, down] = [event.clientX - last.clientX, event.clientY - last.clientY];
  travelled += Math.hypot(right, down);
  if (other) {
    const apart = (/** @type {PointerEvent} */ each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
    const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
    zoom((scale * apart(event)) / Math.max(1, apart(last)), middle);
  } else place(x + right, y + down);
});
stage.addEventListener("pointerup", (event) => points.delete(event.pointerId));
stage.addEventListener("pointercancel", (event) => points.delete(event.pointerId));
stage.addEventListener("click", (event) => {
  if (travelled < SLIP_PX) zoom(scale > 1 ? 1 : CLICK, event);
});
addEventListener("resize", () => place(x, y));

if (location.hash === FULL) open();
else if (location.hash === FOCUSED || isList(document.referrer)) opener.focus({ preventScroll: true });
