// A message over the page about what was done, with a button that undoes it.

/** @template {HTMLElement} T @param {string} selector @param {ParentNode} [within] */
export const find = (selector, within = document) => /** @type {T} */ (within.querySelector(selector));

/** @type {HTMLElement} */
const toast = find("[data-toast]");
/** @type {HTMLButtonElement} */
const undo = find("[data-undo]", toast);

/** @template {keyof HTMLElementTagNameMap} K @param {K} name @param {object} properties @param {(string | Node)[]} children */
export function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** Show a message in place of the one before. @param {string} kind of notice @param {(string | Node)[]} parts */
export function say(kind, ...parts) {
  toast.className = `toast notice ${kind}`;
  toast.hidden = false;
  undo.hidden = true;
  find("[role=status]", toast).replaceChildren(...parts);
}

/** Offer to undo what the message tells of. @param {() => void} act */
export function offerUndo(act) {
  undo.hidden = false;
  undo.onclick = act;
}

/** Put the focus on the first button of the message. */
export const focusToast = () => find("button:not([hidden])", toast).focus();

find("[data-close]", toast).addEventListener("click", () => {
  toast.hidden = true;
});
