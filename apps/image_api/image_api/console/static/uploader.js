// Uploads files that are chosen, dropped anywhere on the page, or pasted, and shows how far they are.

import { filesIn, visibleOf } from "./upload-files.js";
import { readFields, takeOver } from "./upload-form.js";
import { sizeText } from "./upload-list.js";
import { Queue } from "./upload-queue.js";
import { Api } from "./upload-requests.js";
import { UploadStore } from "./upload-store.js";
import { Unfinished } from "./upload-unfinished.js";

/** @template {Element} T @param {ParentNode} within @param {string} selector @param {new () => T} type @returns {T} */
function find(within, selector, type) {
  const found = within.querySelector(selector);
  if (!(found instanceof type)) throw new TypeError(`The page has no ${selector}.`);
  return found;
}

const section = find(document, "[data-uploader]", HTMLElement);
const form = /** @type {HTMLFormElement | null} */ (document.querySelector("form[data-upload]"));
const { userId = "", teamId = "", formBytes, directBytes, mediaTypes = "" } = section.dataset;
const totals = find(section, "[data-totals]", HTMLElement);
const status = find(section, "[role=status]", HTMLElement);
const again = find(section, "[data-again]", HTMLButtonElement);

const api = new Api(find(document, "meta[name=csrf-token]", HTMLMetaElement).content, teamId);
const store = new UploadStore(userId, teamId);
const queue = new Queue({
  api,
  store,
  list: find(section, "[data-files]", HTMLElement),
  limits: { formBytes: Number(formBytes), directBytes: Number(directBytes), mediaTypes: mediaTypes.split(" ") },
  readFields: () => readFields(form),
  onChange: () => (isDue ||= requestAnimationFrame(show)),
});
const unfinished = new Unfinished(find(section, "[data-unfinished]", HTMLElement), api, store, queue);

let isDue = 0;
let isRunning = false;
let hidden = 0;
let announced = 0;

const hiddenText = () => (hidden ? ` ${hidden} hidden ${hidden === 1 ? "file was" : "files were"} left out.` : "");

function show() {
  isDue = 0;
  const { waiting, arrived, stored, known, restored, trashed, failed } = queue.counts;
  const [all, open] = [queue.uploads.size, waiting + arrived];
  section.hidden = !all && !hidden && unfinished.isEmpty;
  totals.hidden = all < 2 || open === 0;
  const { bytes } = queue;
  find(totals, "progress", HTMLProgressElement).value = bytes.done / bytes.all || 0;
  find(totals, "span", HTMLElement).textContent =
    `${all - open} of ${all} files, ${sizeText(bytes.done)} of ${sizeText(bytes.all)}`;
  again.hidden = failed < 2 || open > 0;
  const done = find(section, "[data-done]", HTMLElement);
  done.hidden = open > 0 || stored + restored === 0;
  find(section, "[data-next]", HTMLElement).hidden = again.hidden && done.hidden;
  // Not each step: it is read out.
  if (open > 0 && !isRunning) status.textContent = `Uploading.${hiddenText()}`;
  if (open === 0 && all + hidden > 0) {
    const numbers = {
      uploaded: stored, "already there": known, restored, "in the trash": trashed, failed,
    };
    const parts = Object.entries(numbers).filter(([name, number]) => number || name === "uploaded");
    status.textContent = `${parts.map(([name, number]) => `${number} ${name}`).join(", ")}.${hiddenText()}`;
    announce(stored + restored);
  }
  isRunning = open > 0;
}

/** Tell lists of images on this page that there are more. @param {number} added since the page was opened */
function announce(added) {
  const detail = { count: added - announced };
  if (detail.count > 0) document.dispatchEvent(new CustomEvent("images-added", { detail }));
  announced = added;
}

/** @param {{files: File[], hidden: number}} found */
function add(found) {
  const { files, hidden: more } = visibleOf(found.files);
  hidden += more + found.hidden;
  if (files.length) queue.add(files, (file) => unfinished.take(file));
  show();
}

for (const hint of document.querySelectorAll("[data-drop-hint]")) hint.removeAttribute("hidden");
for (const type of /** @type {const} */ (["dragover", "dragleave", "drop"])) {
  addEventListener(type, async (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    const isOver = type === "dragover" || (type === "dragleave" && event.relatedTarget !== null);
    document.documentElement.classList.toggle("dropping", isOver);
    if (type === "drop") add(await filesIn(event.dataTransfer));
  });
}
addEventListener("paste", async (event) => {
  // Spreadsheets put a picture of what was copied beside its text.
  const isTyped = event.target instanceof Element && event.target.matches("input, textarea");
  if (isTyped && event.clipboardData?.types.includes("text/plain")) return;
  add(await filesIn(event.clipboardData));
});
// What has arrived goes on without the page.
addEventListener("beforeunload", (event) => queue.counts.waiting > 0 && event.preventDefault());
again.addEventListener("click", () => {
  queue.tryFailedAgain();
  status.tabIndex = -1;
  status.focus();
});
if (form) takeOver(form, (files) => add({ files, hidden: 0 }));
void unfinished.load((files) => add({ files, hidden: 0 })).then(show);
