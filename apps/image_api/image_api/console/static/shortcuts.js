// Single keys, which act only while the focus is in the grid or the viewer and can be switched off: `?` and `/` here,
// the others in the scripts of grid and viewer. Of a key that is switched off, those scripts hear nothing.

const OFF = "single-keys-off";
const WITHIN = "[data-image-grid], [data-viewer]";
const WRITES = "input:not([type=checkbox], [type=radio], [type=button]), textarea, select, [contenteditable]";

/** @param {KeyboardEvent} event */
function isSingleKey(event) {
  const { target, key } = event;
  if (!(target instanceof Element) || !target.closest(WITHIN) || target.closest(WRITES)) return false;
  return key.length === 1 && key !== " " && !event.ctrlKey && !event.altKey && !event.metaKey;
}

// A browser that stores nothing for this site has them switched on.
const stored = () => {
  try {
    return localStorage.getItem(OFF) !== null;
  } catch {
    return false;
  }
};
let isOff = stored();

/** @type {NodeListOf<HTMLInputElement>} */
const switches = document.querySelectorAll("[data-letters] input");
function showSwitches() {
  for (const each of switches) each.checked = !isOff;
}
for (const each of switches) {
  if (each.parentElement) each.parentElement.hidden = false;
  each.addEventListener("change", () => {
    isOff = !each.checked;
    try {
      if (isOff) localStorage.setItem(OFF, "");
      else localStorage.removeItem(OFF);
    } catch {} // Then it holds for this page.
    showSwitches();
  });
}
showSwitches();
addEventListener("storage", (event) => {
  if (event.key !== OFF && event.key !== null) return;
  isOff = stored();
  showSwitches();
});

/** @type {HTMLDialogElement | null} */
const keys = document.querySelector("dialog[data-keys]");
/** @type {HTMLElement | null} */
const search = document.querySelector("main input[type=search]");

addEventListener(
  "keydown",
  (event) => {
    if (!isSingleKey(event)) return;
    if (isOff) {
      event.stopImmediatePropagation();
    } else if (event.key === "?" && keys) {
      event.preventDefault();
      keys.showModal();
    } else if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
    }
  },
  { capture: true },
);
