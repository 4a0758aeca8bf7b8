// A slider of months beside a grid: its keys go month by month, year by year, and from end to end.

const LABEL_PX = 24;
const written = new Intl.DateTimeFormat("en", { month: "long", year: "numeric", timeZone: "UTC" });

/** Return a month in words: March 2026. @param {string} name such as 2026-03 */
export const inWords = (name) => written.format(new Date(`${name}-01`));

export class Scrubber {
  input = document.createElement("input");
  element = document.createElement("div");
  #years = document.createElement("div");
  /** @type {string[]} */
  #months = [];

  /** @param {(month: number) => void} go */
  constructor(go) {
    Object.assign(this.input, { type: "range", min: "0", max: "0", value: "0", ariaLabel: "Month" });
    this.#years.ariaHidden = "true";
    this.#years.className = "years";
    this.element.className = "scrubber";
    this.element.append(this.#years, this.input);
    this.input.addEventListener("input", () => {
      this.#say();
      go(this.input.valueAsNumber);
    });
    // Browsers take PageDown for less, which is further up here.
    this.input.addEventListener("keydown", (event) => {
      const by = { PageDown: 12, PageUp: -12 }[event.key];
      if (!by) return;
      event.preventDefault();
      this.input.valueAsNumber += by;
      this.input.dispatchEvent(new Event("input"));
    });
    new ResizeObserver(() => this.#label()).observe(this.element);
  }

  /** @param {{name: string}[]} months latest first */
  fill(months) {
    this.#months = months.map(({ name }) => name);
    this.input.max = String(Math.max(0, months.length - 1));
    this.element.hidden = months.length < 2;
    this.#label();
    this.#say();
  }

  /** @param {number} month */
  show(month) {
    if (this.input.valueAsNumber === month) return;
    this.input.value = String(month);
    this.#say();
  }

  #say() {
    const month = this.#months[this.input.valueAsNumber];
    this.input.ariaValueText = month ? inWords(month) : "";
    this.input.title = this.input.ariaValueText;
  }

  /** Label as many years as fit. */
  #label() {
    const height = this.element.clientHeight;
    const last = Math.max(1, this.#months.length - 1);
    const labels = [];
    let free = 0;
    for (const [at, name] of this.#months.entries()) {
      const year = name.slice(0, 4);
      const top = (at / last) * (height - LABEL_PX);
      if (year === this.#months[at - 1]?.slice(0, 4) || top < free) continue;
      const label = document.createElement("span");
      label.textContent = year;
      label.style.top = `${top}px`;
      labels.push(label);
      free = top + LABEL_PX;
    }
    this.#years.replaceChildren(...labels);
  }
}
