// How uploads look: a line for each that is under way or has ended, and how far all of them are.

/** Of uploads that ended well, only the last lines stay. */
const MOST_DONE = 20;

/** @typedef {string | Node} Part */

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, unknown>} properties
 * @param {...Part} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** @param {number} bytes */
export const sizeText = (bytes) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

/** @param {string} text @param {string} of whose button it is @param {() => void} act */
export function button(text, of, act) {
  const made = make("button", { type: "button", className: "button", ariaLabel: `${text}: ${of}` }, text);
  made.addEventListener("click", act);
  return made;
}

/** The line of one file. */
export class Line {
  /** @param {Element} list @param {string} name */
  constructor(list, name) {
    this.list = list;
    this.progress = make("progress", { max: 1, value: 0, ariaLabel: name });
    this.state = make("p", { className: "small" });
    this.element = make("li", { tabIndex: -1 }, make("span", { title: name }, name), this.state);
    list.prepend(this.element);
  }

  /** @param {...Part} parts */
  say(...parts) {
    // The button that was pressed goes, and the focus stays on the line.
    const hadFocus = this.element.contains(document.activeElement);
    this.state.replaceChildren(...parts.flatMap((part) => [" ", part]).slice(1));
    if (hadFocus) this.element.focus();
  }

  /** @param {number} share of the file that was sent @param {string} text */
  advance(share, text) {
    this.element.classList.remove("done");
    if (!this.progress.isConnected) this.state.before(this.progress);
    this.progress.value = share;
    this.say(text);
  }

  /** @param {string} kind of the badge @param {string} title @param {...Part} parts */
  end(kind, title, ...parts) {
    this.progress.remove();
    this.say(make("span", { className: `badge ${kind}` }, title), ...parts);
  }

  /** Let `live.js` say what becomes of the image. @param {string} imageId */
  watch(imageId) {
    const badge = this.state.querySelector(".badge");
    if (badge instanceof HTMLElement) badge.dataset.status = "stored";
    this.element.dataset.liveImage = imageId;
  }

  /** Make the line one of those that may go. */
  settle() {
    this.element.classList.add("done");
    this.list.querySelectorAll(".done")[MOST_DONE]?.remove();
  }
}
