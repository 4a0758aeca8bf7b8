// Acts on many images: a bar for those that are chosen, by the page's boxes or in the grid, and undo for the trash.

import { find, focusToast, make, offerUndo, say } from "./toast.js";

const [MOST, MOST_NAMED, MOST_WAITS] = [1000, 10, 20];

/** @typedef {"trash" | "restore"} Action */
/** @typedef {{id: string, outcome: string, error: {code: string} | null}} Item */

/** @type {HTMLFormElement} */
const bar = find("[data-bulk]");
const token = find("meta[name=csrf-token]").getAttribute("content") ?? "";
const boxes = /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll("input[name=image_id]")]);
const shown = () => boxes.filter((box) => box.isConnected && !box.closest("[hidden]"));
/** @type {HTMLInputElement} */
const everything = find("[name=all]", bar);
/** @type {string[]} */
let chosen = [];
/** @type {HTMLInputElement | undefined} */
let last;

/** @param {string} name @param {object} [detail] */
function tell(name, detail = {}) {
  find("[data-image-grid]").dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
}

/** Say what the boxes have chosen, unless the grid has taken their place. */
function tellBoxes() {
  if (!boxes[0]?.closest("ul, table")?.checkVisibility()) return;
  tell("selection-change", { ids: shown().filter((box) => box.checked).map((box) => box.value), total: null });
}

/** @param {number} number @returns {string} */
const images = (number) => (number === 1 ? "1 image" : `${number.toLocaleString("en")} images`);
/** @param {string} code */
const codeLink = (code) => make("a", { href: `/errors/${code}` }, make("code", {}, code));

/** @param {{ids: string[], total?: number | null}} selection */
function choose({ ids, total }) {
  chosen = ids.slice(0, MOST);
  const all = total ?? ids.length;
  find("[role=status]", bar).textContent = `${images(all)} chosen`;
  // What no batch takes at once is an operation on all that match.
  everything.checked = all > MOST;
  bar.hidden = !ids.length;
  bar.toggleAttribute("data-chosen", ids.length > 0);
  find("[data-all]", bar).hidden = shown().every((box) => box.checked);
}

/** Ask for a batch, and again when told to wait: what was done before is then unchanged. @param {Action} action @param {string[]} ids */
async function ask(action, ids) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": token };
  const body = JSON.stringify({ action, ids });
  for (let waits = 0; ; waits += 1) {
    const answer = await fetch("/api/v1/images/batch", { method: "POST", headers, body });
    const said = await answer.json();
    if (answer.ok) {
      const items = /** @type {Item[]} */ (said.items);
      const done = items.filter(({ outcome }) => outcome === "changed" || (waits && outcome === "unchanged"));
      return { done: done.map(({ id }) => id), failed: items.filter(({ error }) => error) };
    }
    const seconds = Number(answer.headers.get("Retry-After"));
    if (!seconds || ![429, 503].includes(answer.status) || waits === MOST_WAITS) throw said;
    say("warning", `The server is busy. Trying again in ${seconds} s.`);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

/** @param {Item[]} failed */
function reasons(failed) {
  const lines = failed.slice(0, MOST_NAMED).map(({ id, error }) => {
    const name = boxes.find((box) => box.value === id)?.labels?.[0]?.textContent?.trim() || id;
    return make("li", {}, make("a", { href: `/console/images/${id}` }, name), " ", codeLink(error?.code ?? ""));
  });
  if (failed.length > lines.length) lines.push(make("li", {}, `and ${failed.length - lines.length} more`));
  return [make("p", {}, `${images(failed.length)} could not be changed:`), make("ul", {}, ...lines)];
}

/** @param {Action} action @param {string[]} ids */
async function act(action, ids) {
  if (bar.ariaBusy) return;
  bar.ariaBusy = "true";
  const hadFocus = bar.contains(document.activeElement);
  try {
    const { done, failed } = await ask(action, ids);
    const state = action === "trash" ? "in the trash" : "restored";
    const text = `${images(done.length)} ${done.length === 1 ? "is" : "are"} ${state}`;
    say(failed.length ? "warning" : "good", make("strong", {}, text), ...(failed.length ? reasons(failed) : []));
    const isGone = (action === "restore") === (new URLSearchParams(location.search).get("status") === "trashed");
    for (const box of boxes.filter(({ value }) => done.includes(value))) {
      /** @type {HTMLElement} */ (box.closest("[data-image]")).hidden = isGone;
      box.checked = false;
    }
    tell(isGone ? "images-removed" : "images-restored", { ids: done });
    tellBoxes();
    if (action === "trash" && done.length) offerUndo(() => act("restore", done));
    if (hadFocus) focusToast();
  } catch (problem) {
    const { detail = "The server cannot be reached. Try again.", code = "" } = /** @type {any} */ (problem);
    say("danger", make("strong", {}, "Not done"), make("p", {}, detail, " ", code ? codeLink(code) : ""));
  } finally {
    bar.ariaBusy = null;
  }
}

/**
 * Open the page of an action, which asks for what it needs; an address would be too long for the ids.
 * @param {string} action @param {string} [address] of another page than that of batches
 */
function open(action, address = bar.dataset.bulk ?? "") {
  const which = everything.checked ? { all: "1" } : { image_ids: chosen.join(" ") };
  const fields = { csrf_token: token, action, query: new FormData(bar).get("query"), ...which };
  const inputs = Object.entries(fields).map(([name, value]) => make("input", { type: "hidden", name, value }));
  const form = make("form", { method: "post", action: address }, ...inputs);
  document.body.append(form);
  form.submit();
}

bar.addEventListener("submit", (event) => {
  event.preventDefault();
  const { value: action = "", dataset = {} } = /** @type {Partial<HTMLButtonElement>} */ (event.submitter ?? {});
  if ((action === "trash" || action === "restore") && !everything.checked) act(action, chosen);
  else if (chosen.length) open(action, dataset.action);
});
document.addEventListener("selection-change", (event) => choose(/** @type {CustomEvent} */ (event).detail));
document.addEventListener("selection-action", (event) => {
  const { action, ids } = /** @type {CustomEvent} */ (event).detail;
  if (everything.checked && ids.length >= chosen.length) open(action);
  else act(action, ids.slice(0, MOST));
});
for (const box of boxes) {
  box.addEventListener("click", ({ shiftKey }) => {
    const all = shown();
    const [from = 0, to = 0] = [all.indexOf(last ?? box), all.indexOf(box)].sort((a, b) => a - b);
    if (shiftKey) for (const between of all.slice(from, to + 1)) between.checked = box.checked;
    last = box;
    tellBoxes();
  });
}
find("[data-all]", bar).addEventListener("click", () => {
  for (const box of shown()) box.checked = true;
  tellBoxes();
});
bar.addEventListener("reset", () => {
  tell("selection-clear");
  setTimeout(tellBoxes);
});
choose({ ids: [] });
// Going back restores what was ticked.
addEventListener("pageshow", tellBoxes);
