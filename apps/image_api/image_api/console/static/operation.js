// Follows an operation until it is over: asks for its progress, shows it, and loads the page again at the end.

const [SOON_MS, LATER_MS, SOON_FOR_MS] = [2_000, 10_000, 120_000];

/** @typedef {{status: string, total: number | null, done: number, failed: number, left: number | null, credits_spent: number, finished_at: string | null}} Operation */

/** @param {string} selector @param {ParentNode} [within] */
const find = (selector, within = document) => /** @type {HTMLElement} */ (within.querySelector(selector));
const card = find("[data-operation]");
const announcer = find("[role=status]", card);
const since = Date.now();
let timer = 0;
let tenth = 0;

/** @param {string} name @param {number | null} value */
function show(name, value) {
  const element = card.querySelector(`[data-${name}]`);
  if (element && value !== null) element.textContent = value.toLocaleString("en");
}

/** @param {Operation} operation */
function update(operation) {
  const { total, done, failed, left, credits_spent: spent } = operation;
  show("done", done);
  show("failed", failed);
  show("left", left);
  show("spent", spent);
  const bar = card.querySelector("[data-bar]");
  if (!(bar instanceof HTMLProgressElement) || !total) return;
  bar.value = done + failed;
  find("[data-over]", card).textContent = `${(done + failed).toLocaleString("en")} of ${total.toLocaleString("en")}`;
  const now = Math.floor(((done + failed) * 10) / total);
  if (now > tenth) announcer.textContent = `${now * 10} percent done`;
  tenth = now;
}

async function ask() {
  timer = 0;
  if (document.hidden) return;
  const answer = await fetch(`/api/v1/operations/${card.dataset.operation}`).catch(() => null);
  // The session has ended, or the operation is gone.
  if (answer && [401, 403, 404].includes(answer.status)) return;
  if (answer?.ok) {
    /** @type {Operation} */
    const operation = await answer.json();
    // What it looks like in another state is the server's.
    if (operation.finished_at || (operation.total !== null && !card.dataset.total)) {
      location.reload();
      return;
    }
    update(operation);
  }
  plan(Number(answer?.headers.get("Retry-After")) * 1000);
}

/** @param {number} [leastMs] */
function plan(leastMs = 0) {
  if (timer || document.hidden) return;
  const pause = Date.now() - since > SOON_FOR_MS ? LATER_MS : SOON_MS;
  timer = window.setTimeout(ask, Math.max(pause, leastMs));
}

document.addEventListener("visibilitychange", () => plan());
plan();
