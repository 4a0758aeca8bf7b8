// @ts-nocheck -- not typed yet; the compiler reads all other scripts.
// Uploads files that are chosen, dropped anywhere on the page, or pasted: several at once, each with its progress.

const [HASHED_BYTES, AT_ONCE, CHECKED_AT_ONCE, MOST_WAITS] = [32 * 1024 * 1024, 3, 20, 30];
const API = "/api/v1";

const section = document.querySelector("[data-uploader]");
const list = section.querySelector("ul");
const summary = section.querySelector("[role=status]");
const form = document.querySelector("form[data-upload]");
const token = document.querySelector("meta[name=csrf-token]").content;
const teamQuery = section.dataset.team ? `?team_id=${section.dataset.team}` : "";
const limitBytes = Number(section.dataset.limitBytes);

const waiting = [];
const counts = { total: 0, stored: 0, known: 0, restored: 0, failed: 0 };
let sending = 0;
let checking = Promise.resolve();

const refusal = (message, code = "") => Object.assign(new Error(message), { code });
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** The metadata as JSON: what stands in their one field, or in those of the team's schema. */
function metadataOf(form) {
  if (form.elements.metadata) return form.elements.metadata.value;
  const json = form.dataset.upload.split(" ");
  const filled = [...form.elements].filter(({ name, value }) => name.startsWith("metadata.") && value.trim());
  const pairs = filled.map(({ name, value }) => {
    return [name.slice("metadata.".length), json.includes(name) ? JSON.parse(value) : value.trim()];
  });
  return JSON.stringify(Object.fromEntries(pairs));
}

/** One file, and the line of the list that shows it. */
class Item {
  constructor(file) {
    this.file = file;
    this.renew();
    this.progress = make("progress", { max: 1, value: 0, ariaLabel: file.name });
    this.state = make("p", { className: "small" }, "Waiting");
    list.append(make("li", {}, make("span", { title: file.name }, file.name), this.progress, this.state));
  }

  /** Make a new request of the file, with the fields as they are now. */
  renew() {
    // `randomUUID` and `subtle` are missing on pages over plain HTTP from another machine.
    this.key = crypto.getRandomValues(new Uint32Array(4)).join("-");
    this.body = new FormData();
    if (form) {
      this.body.append("tags", form.elements.tags.value);
      this.body.append("metadata", metadataOf(form));
    }
    this.body.append("file", this.file);
  }

  say = (...parts) => this.state.replaceChildren(...parts);
  finish(result, kind, ...parts) {
    counts[result] += 1;
    this.progress.remove();
    this.say(make("span", { className: `badge ${kind}` }, parts.shift()), ...parts.flatMap((part) => [" ", part]));
    summarize();
  }

  open = (imageId) =>
    make("a", { href: `/console/images/${imageId}${teamQuery}`, ariaLabel: `Open ${this.file.name}` }, "Open");

  button(text, act) {
    const ariaLabel = `${text}: ${this.file.name}`;
    const button = make("button", { type: "button", className: "button", ariaLabel }, text);
    button.addEventListener("click", act);
    return button;
  }

  fail(error) {
    const code = error.code ? [make("a", { href: `/errors/${error.code}` }, make("code", {}, error.code))] : [];
    const again = this.button("Try again", () => {
      counts.failed -= 1;
      this.renew();
      this.progress.value = 0;
      this.state.before(this.progress);
      this.say("Waiting");
      enqueue(this);
    });
    const fill = make("a", { href: `/console/images/upload${teamQuery}` }, "Fill in the fields");
    const isFilledIn = form || error.code !== "request-invalid";
    this.finish("failed", "danger", "Failed", error.message, ...code, isFilledIn ? again : fill);
  }

  /** Offer what is in the trash for restoring. */
  offer(imageId) {
    const button = this.button("Restore", async () => {
      button.disabled = true;
      counts.known -= 1;
      try {
        await ask(`/images/${imageId}/restore`);
        this.finish("restored", "good", "Restored", this.open(imageId));
      } catch (error) {
        this.fail(error);
      }
    });
    this.finish("known", "warning", "In the trash", button);
  }
}

const unfinished = () => counts.total - counts.stored - counts.known - counts.restored - counts.failed;
function summarize() {
  const left = unfinished();
  const { stored, known, restored, failed } = counts;
  const numbers = { uploaded: stored, "already there": known, restored, failed, left };
  const parts = Object.entries(numbers).filter(([name, number]) => number || name === "uploaded");
  summary.textContent = `${parts.map(([name, number]) => `${number} ${name}`).join(", ")}.`;
  section.querySelector("[data-done]").hidden = left > 0 || stored + restored === 0;
}

function problemOf(status, text) {
  try {
    const { detail, code, errors = [] } = JSON.parse(text);
    return refusal(errors.map((each) => `${each.field}: ${each.message}`).join(" ") || detail, code);
  } catch {
    return refusal(`The server answered ${status}.`);
  }
}

async function ask(path, body) {
  const headers = { "X-CSRF-Token": token, "Content-Type": "application/json" };
  const answer = await fetch(API + path + teamQuery, { method: "POST", headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw problemOf(answer.status, text);
  return JSON.parse(text);
}

/** Return what the team knows of each file by its hash; nothing of files that cannot be hashed. */
async function findKnown(items) {
  const known = new Map();
  if (!crypto.subtle) return known;
  const hashes = new Map();
  for (const item of items.filter(({ file }) => file.size > 0 && file.size <= HASHED_BYTES)) {
    item.say("Checking");
    try {
      const digest = await crypto.subtle.digest("SHA-256", await item.file.arrayBuffer());
      hashes.set(item, Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join(""));
    } catch {} // A folder, or a file that has gone: sending it says so.
  }
  if (!hashes.size) return known;
  try {
    const { items: found } = await ask("/images/check-hashes", { sha256: [...hashes.values()] });
    const states = new Map(found.map((each) => [each.sha256, each]));
    for (const [item, hash] of hashes) known.set(item, states.get(hash));
  } catch {} // The check only saves sending.
  return known;
}

async function check(items) {
  const known = await findKnown(items);
  for (const item of items) {
    const found = known.get(item);
    if (item.file.size > limitBytes) {
      item.fail(refusal(`Larger than ${section.dataset.limit}.`, "upload-too-large"));
    } else if (found?.state === "present" && found.status !== "failed") {
      item.finish("known", "info", "Already there", item.open(found.image_id));
    } else if (found?.state === "trashed") {
      item.offer(found.image_id);
    } else {
      enqueue(item);
    }
  }
}

async function enqueue(item) {
  item.say("Waiting");
  waiting.push(item);
  summarize();
  if (sending === AT_ONCE) return;
  sending += 1;
  while (waiting.length) await deliver(waiting.shift());
  sending -= 1;
}

async function deliver(item) {
  try {
    const { status, image } = await sendUntilAnswered(item);
    if (status === 201) item.finish("stored", "good", "Uploaded", item.open(image.id));
    else item.finish("known", "info", "Already there", item.open(image.id));
  } catch (error) {
    item.fail(error);
  }
}

/** Send a file until there is an answer: waiting when told to, and once more after a broken connection. */
async function sendUntilAnswered(item) {
  let broken = 0;
  for (let waits = 0; waits < MOST_WAITS; waits += 1) {
    const answer = await send(item);
    const { status, responseText } = answer;
    if (status === 200 || status === 201) return { status, image: JSON.parse(responseText) };
    if (status === 0) {
      broken += 1;
      if (broken > 1) throw refusal("The connection broke off twice, or the file cannot be read.");
      item.say("Connection lost, sending again");
      await pause(1);
      continue;
    }
    const problem = problemOf(status, responseText);
    // After a broken connection, the first attempt may still be at work.
    const isInUse = problem.code === "idempotency-key-in-use";
    const seconds = Number(answer.getResponseHeader("Retry-After")) || (isInUse ? 2 : 0);
    if (!seconds || !(isInUse || status === 429 || status === 503)) throw problem;
    item.say(`The server is busy, sending again in ${seconds} s`);
    await pause(seconds);
  }
  throw refusal("The server stayed busy.");
}

function send(item) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${API}/images${teamQuery}`);
    request.setRequestHeader("X-CSRF-Token", token);
    request.setRequestHeader("Idempotency-Key", item.key);
    request.upload.onprogress = (event) => {
      item.progress.value = event.total ? event.loaded / event.total : 0;
      item.say(event.loaded < event.total ? `${Math.floor(item.progress.value * 100)} %` : "Being stored");
    };
    request.onloadend = () => resolve(request);
    request.send(item.body);
  });
}

function add(files) {
  const items = Array.from(files, (file) => new Item(file));
  if (!items.length) return;
  counts.total += items.length;
  section.hidden = false;
  summarize();
  for (let at = 0; at < items.length; at += CHECKED_AT_ONCE) {
    checking = checking.then(() => check(items.slice(at, at + CHECKED_AT_ONCE)));
  }
}

for (const hint of document.querySelectorAll("[data-drop-hint]")) hint.hidden = false;
for (const type of ["dragover", "dragleave", "drop"]) {
  addEventListener(type, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    const isOver = type === "dragover" || (type === "dragleave" && event.relatedTarget !== null);
    document.documentElement.classList.toggle("dropping", isOver);
    if (type === "drop") add(event.dataTransfer.files);
  });
}
addEventListener("paste", (event) => add(event.clipboardData?.files ?? []));
addEventListener("beforeunload", (event) => unfinished() > 0 && event.preventDefault());

if (form) {
  form.elements.file.multiple = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    add(form.elements.file.files);
    form.elements.file.value = "";
  });
}
