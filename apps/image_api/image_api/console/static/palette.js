// Ctrl-K, or ⌘-K, opens a dialog that shows what `/console/find` finds while somebody types.

const FIND = "/console/find";
const PAUSE_MS = 150;

const dialog = /** @type {HTMLDialogElement} */ (document.querySelector("dialog.palette"));
const input = /** @type {HTMLInputElement} */ (dialog.querySelector("input[name=q]"));
const list = /** @type {HTMLElement} */ (dialog.querySelector("[role=listbox]"));
const status = /** @type {HTMLElement} */ (dialog.querySelector("[role=status]"));
const form = /** @type {HTMLFormElement} */ (input.form);

/** @type {{option: HTMLElement, link: HTMLAnchorElement}[]} */
let found = [];
let at = -1;
let timer = 0;
/** @type {XMLHttpRequest | undefined} */
let request;

/** @param {number} next the option that Enter opens; none if it is -1 */
function choose(next) {
  at = next;
  for (const [number, { option }] of found.entries()) option.ariaSelected = String(number === at);
  const option = found[at]?.option;
  option?.scrollIntoView({ block: "nearest" });
  if (option) input.setAttribute("aria-activedescendant", option.id);
  else input.removeAttribute("aria-activedescendant");
}

/** @param {HTMLAnchorElement[]} links */
function show(links) {
  found = links.map((link, number) => {
    const option = document.createElement("li");
    option.id = `found-option-${number}`;
    option.role = "option";
    const kind = document.createElement("span");
    kind.className = "small muted";
    kind.textContent = link.dataset.found ?? "";
    option.append(link.textContent ?? "", " ", kind);
    option.addEventListener("click", (event) => open(link, event.ctrlKey || event.metaKey));
    return { option, link };
  });
  list.replaceChildren(...found.map(({ option }) => option));
  input.ariaExpanded = String(found.length > 0);
  status.textContent = found.length ? `${found.length} found` : "Nothing has this name or ID.";
  choose(found.length ? 0 : -1);
}

/** @param {HTMLAnchorElement} link @param {boolean} isApart whether in a tab of its own */
function open(link, isApart) {
  // The attribute, as the document that was asked for has no address of its own.
  const address = new URL(link.getAttribute("href") ?? "", location.href);
  if (isApart) window.open(address);
  else location.assign(address);
}

// It asks for the page: so a search without script finds the same. This kind of request gives a document, without a
// parser of markup in this script.
function find() {
  request?.abort();
  const asked = new XMLHttpRequest();
  request = asked;
  asked.open("GET", `${FIND}?${new URLSearchParams(/** @type {any} */ (new FormData(form)))}`);
  asked.responseType = "document";
  asked.setRequestHeader("Accept", "text/html");
  asked.onload = () => {
    // The session has ended: the page leads to the sign-in page.
    if (new URL(asked.responseURL).pathname !== FIND) location.reload();
    else show([...(asked.responseXML?.querySelectorAll("a[data-found]") ?? [])].map((each) => /** @type {HTMLAnchorElement} */ (each)));
  };
  asked.onerror = () => {
    show([]);
    status.textContent = "The server cannot be reached.";
  };
  asked.send();
}

function begin() {
  if (dialog.open) return;
  dialog.showModal();
  input.select();
  find();
}

for (const link of document.querySelectorAll("a[data-palette]")) {
  link.addEventListener("click", (event) => {
    if (event instanceof MouseEvent && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    begin();
  });
}
addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
  event.preventDefault();
  begin();
});
input.addEventListener("input", () => {
  clearTimeout(timer);
  timer = window.setTimeout(find, PAUSE_MS);
});
input.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !found.length) return;
  event.preventDefault();
  choose((at + step + found.length) % found.length);
});
form.addEventListener("submit", (event) => {
  const chosen = found[at];
  if (!chosen) return;
  event.preventDefault();
  open(chosen.link, false);
});
dialog.addEventListener("click", (event) => {
  // A click beside the dialog is one on its backdrop, which belongs to it.
  if (event.target === dialog) dialog.close();
});
