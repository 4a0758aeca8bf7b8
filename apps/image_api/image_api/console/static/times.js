// Shows each moment in the zone of whoever looks, relative to now where it is near and stands alone; exact on hover,
// focus and tap.

const DAY = 86_400_000;
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [["day", DAY], ["hour", DAY / 24], ["minute", DAY / 1440]];
// The language of the pages, not of the browser: a sentence has one.
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const absolute = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
});
const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

/** @param {number} distance in milliseconds; negative in the past */
function near(distance) {
  const [unit, length] = UNITS.find(([, each]) => Math.abs(distance) >= each) ?? ["second", Infinity];
  return relative.format(Math.trunc(distance / length) || 0, unit);
}

// Others are calendar days, or what a camera showed: they have no zone.
/** @type {NodeListOf<HTMLTimeElement>} */
const times = document.querySelectorAll("time[datetime$='Z']");
// "Until in 2 days" is no English: within a sentence, a moment stays a date.
const alone = new Set([...times].filter((time) => time.parentElement?.textContent?.trim() === time.textContent));

function show() {
  for (const time of times) {
    const moment = new Date(time.dateTime);
    const distance = moment.getTime() - Date.now();
    time.textContent =
      alone.has(time) && Math.abs(distance) < 7 * DAY ? near(distance) : absolute.format(moment);
    time.title = exact.format(moment);
  }
}

show();
setInterval(show, 60_000);

// The Tab key stops once in each table: there, arrow keys lead from time to time.
/** @param {HTMLTimeElement} time */
const group = (time) => [...times].filter((each) => time.closest("table")?.contains(each));
for (const time of times) time.tabIndex = time.closest("table") && group(time)[0] !== time ? -1 : 0;

const tip = document.createElement("p");
tip.className = "tip";
tip.popover = "auto";
document.body.append(tip);

/** @type {HTMLTimeElement | undefined} */
let told;

function place() {
  if (!told) return;
  const { left, top, bottom } = told.getBoundingClientRect();
  const below = bottom + 4;
  const y = below + tip.offsetHeight > innerHeight ? top - tip.offsetHeight - 4 : below;
  tip.style.top = `${y}px`;
  tip.style.left = `${Math.max(8, Math.min(left, innerWidth - tip.offsetWidth - 8))}px`;
}

/** @param {EventTarget | null} target */
function tell(target) {
  const time = [...times].find((each) => each === target);
  if (!time) return;
  told = time;
  tip.textContent = time.title;
  tip.showPopover();
  place();
}

addEventListener("focusin", ({ target }) => {
  if (target instanceof Element && target.matches(":focus-visible")) tell(target);
});
addEventListener("focusout", () => tip.hidePopover());
addEventListener("click", (event) => {
  // A mouse shows the title.
  if (event instanceof PointerEvent && event.pointerType !== "mouse") tell(event.target);
});
addEventListener("scroll", place, { capture: true, passive: true });
addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (!step || !told || event.target !== told) return;
  const all = group(told);
  const next = all[all.indexOf(told) + step];
  if (!next) return;
  event.preventDefault();
  [told.tabIndex, next.tabIndex] = [-1, 0];
  next.focus();
});
