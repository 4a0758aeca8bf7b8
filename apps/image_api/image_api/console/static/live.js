// Watches images that are not final yet: elements with `data-live-image`, until each is, and shows what they became.
// `data-live-preset` names the preset of an element's picture. Others may listen to `image-final`. What happens comes
// from the feed while something is awaited; where that is refused, or silent for long, the script asks again and again.

import { follow } from "./feed.js";

/** @typedef {{url: string, srcset: string | null, width: number | null, height: number | null}} Picture */
/** @typedef {{id: string, status: string, deleted_at: string | null, filename: string | null, delivery: {presets: Record<string, Picture>} | null}} Item */

const WATCHED = "[data-live-image]";
const [SOON_MS, LATER_MS, SOON_FOR_MS, MOST] = [2_000, 10_000, 60_000, 1_000];
const [TOLD_MS, AGAIN_MS, QUIET_MS] = [50, 2_000, 600_000];
const FINAL = new Set(["ready", "failed", "expired"]);
const KINDS = new Map([["ready", "good"], ["failed", "danger"], ["expired", "warning"]]);

const token = document.querySelector("meta[name=csrf-token]")?.getAttribute("content") ?? "";
const announcer = document.createElement("p");
announcer.className = "hidden";
announcer.role = "status";
document.body.append(announcer);

const team = new URLSearchParams(location.search).get("team_id");
const isOfAll = document.querySelector("meta[name=feed]")?.getAttribute("content") === "all";
const query = team ? `?team_id=${encodeURIComponent(team)}` : isOfAll ? "?all_teams=true" : "";

let timer = 0;
let since = 0;
/** The stream that is open. @type {AbortController | null} */
let stream = null;
let cursor = "";
/** No stream before this time. */
let quietUntil = 0;
/** @type {Set<string>} */
let known = new Set();

/** @returns {Map<string, HTMLElement[]>} */
function watched() {
  /** @type {Map<string, HTMLElement[]>} */
  const elements = new Map();
  /** @type {NodeListOf<HTMLElement>} */
  const found = document.querySelectorAll(WATCHED);
  for (const each of found) {
    const id = each.dataset.liveImage ?? "";
    elements.set(id, [...(elements.get(id) ?? []), each]);
  }
  return elements;
}

/** @param {HTMLElement} element @param {Item} item */
function show(element, item) {
  const badge = element.querySelector(".badge[data-status]");
  if (badge) {
    badge.textContent = item.status;
    badge.className = `badge ${KINDS.get(item.status) ?? "info"}`;
  }
  if (!FINAL.has(item.status)) return;
  delete element.dataset.liveImage;
  const blank = element.querySelector(".blank");
  const picture = item.delivery?.presets[element.dataset.livePreset ?? "thumb"];
  if (blank && picture) {
    const { url, srcset, width, height } = picture;
    const image = Object.assign(new Image(), { alt: blank.textContent, decoding: "async" });
    if (width && height) Object.assign(image, { width, height });
    if (srcset) Object.assign(image, { sizes: `${blank.clientWidth}px`, srcset });
    image.src = url;
    blank.replaceWith(image);
  }
  const after = element.querySelector("[data-live-after]");
  if (after instanceof HTMLElement) after.hidden = false;
  element.dispatchEvent(new CustomEvent("image-final", { bubbles: true, detail: item }));
}

/** @param {Item[]} items which have become final */
function announce([first, ...others]) {
  if (!first) return;
  const name = first.filename ?? "An image";
  announcer.textContent = others.length ? `${others.length + 1} images are processed.` : `${name} is ${first.status}.`;
}

async function ask() {
  timer = 0;
  const elements = watched();
  if (!elements.size || document.hidden) return;
  const ids = [...elements.keys()].slice(0, MOST);
  if (ids.some((id) => !known.has(id))) [since, quietUntil] = [Date.now(), Math.min(quietUntil, Date.now() + AGAIN_MS)];
  known = new Set(ids);
  const answer = await fetch("/api/v1/images/batch-get", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": token },
    body: JSON.stringify({ ids, include: ["delivery"] }),
  }).catch(() => null);
  // The session has ended, or lacks the right.
  if (answer?.status === 401 || answer?.status === 403) return;
  if (answer?.ok) {
    /** @type {{items: Item[], not_found: string[]}} */
    const { items, not_found: gone } = await answer.json();
    for (const item of items) for (const element of elements.get(item.id) ?? []) show(element, item);
    announce(items.filter(({ status }) => FINAL.has(status)));
    for (const id of gone) for (const element of elements.get(id) ?? []) delete element.dataset.liveImage;
  }
  plan(Number(answer?.headers.get("Retry-After")) * 1000);
}

/** Follow the feed. */
async function listen() {
  const opened = new AbortController();
  stream = opened;
  try {
    const onChange = (/** @type {import("./feed.js").Change} */ { data }) => {
      if (watched().has(String(data.image_id))) askSoon(TOLD_MS);
    };
    const end = await follow(query, cursor, { onOpen: () => askSoon(TOLD_MS), onChange }, opened.signal);
    cursor = end.cursor;
    // An image that takes so long is worth a question now and then, and no stream.
    quietUntil = Date.now() + (end.reason === "idle" ? QUIET_MS : AGAIN_MS);
  } catch {
    if (opened.signal.aborted) return;
    // Refused, or broken off: from now on at the end of the feed.
    [cursor, quietUntil] = ["", Date.now() + SOON_FOR_MS];
  }
  if (stream === opened) stream = null;
  plan();
}

/** @param {number} ms */
function askSoon(ms) {
  clearTimeout(timer);
  timer = window.setTimeout(ask, ms);
}

/** @param {number} [leastMs] */
function plan(leastMs = 0) {
  if (document.hidden || !document.querySelector(WATCHED)) {
    stream?.abort();
    stream = null;
    cursor = "";
    return;
  }
  if (!stream && Date.now() >= quietUntil) void listen();
  // What is new here may have been told of before.
  if (stream && !timer && ![...watched().keys()].every((id) => known.has(id))) return askSoon(TOLD_MS);
  if (timer || (stream && !leastMs)) return;
  const pause = since && Date.now() - since > SOON_FOR_MS ? LATER_MS : SOON_MS;
  askSoon(Math.max(pause, leastMs));
}

document.addEventListener("visibilitychange", () => plan());
// Other scripts add what they upload, or what scrolls in.
new MutationObserver(() => plan()).observe(document.body, {
  subtree: true, childList: true, attributeFilter: ["data-live-image"],
});
plan();
