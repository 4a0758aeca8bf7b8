// Shows each moment in the zone of whoever looks, relative to now where it is near and stands alone; its title is exact.

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
