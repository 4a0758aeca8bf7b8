// Says of each picture of a playground how many bytes it has, and how long image-delivery took for it.

const MOST_WAITS = 24;

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** @param {HTMLImageElement} image */
async function settled(image) {
  // Its answer is then in the browser's cache, with the headers that tell of the first time.
  if (!image.complete) await new Promise((resolve) => ["load", "error"].forEach((each) => image.addEventListener(each, resolve)));
}

/** @param {HTMLElement} card */
async function measure(card) {
  const image = card.querySelector("img");
  const shown = card.querySelector("dl");
  const [size, time] = shown?.querySelectorAll("dd") ?? [];
  if (!image || !shown || !size || !time) return;
  await settled(image);
  shown.hidden = false;
  for (let waits = 0; waits < MOST_WAITS; waits += 1) {
    const answer = await fetch(image.src, { credentials: "omit" });
    if (answer.status === 202) {
      time.textContent = "It is made in the background …";
      await pause(1000 * Number(answer.headers.get("Retry-After") ?? 5));
      continue;
    }
    if (!answer.ok) throw new Error(`image-delivery answered ${answer.status}.`);
    const bytes = (await answer.blob()).size;
    size.textContent = `${(bytes / 1024).toFixed(1)} KiB (${bytes.toLocaleString("en")} bytes)`;
    time.textContent = timeOf(answer.headers);
    // After a wait, the picture has to be loaded once more.
    if (waits) image.src = `${image.src}`;
    return;
  }
  throw new Error("It is still being made. Load this page again later.");
}

/** @param {Headers} headers */
function timeOf(headers) {
  const durations = [...(headers.get("Server-Timing") ?? "").matchAll(/dur=([\d.]+)/g)].map(([, ms]) => Number(ms));
  const total = durations.reduce((sum, ms) => sum + ms, 0);
  const origin = headers.get("X-Derivative") === "made" ? "made for this page" : "it was there";
  return durations.length ? `${Math.round(total)} ms, ${origin}` : "unknown";
}

for (const card of document.querySelectorAll("[data-measured]")) {
  if (!(card instanceof HTMLElement)) continue;
  measure(card).catch(({ message }) => {
    const time = card.querySelector("dd:last-of-type");
    if (time) time.textContent = message;
  });
}
