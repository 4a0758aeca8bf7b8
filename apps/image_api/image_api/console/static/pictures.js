// Says once, and names the address, when the service that delivers pictures cannot be reached. Of a single picture that
// does not load, the browser shows the alternative text, which is its name.

let isAsked = false;

/** @param {HTMLImageElement} image */
async function find({ currentSrc }) {
  if (isAsked || !currentSrc.startsWith("http")) return;
  const { origin } = new URL(currentSrc);
  if (origin === location.origin) return;
  isAsked = true;
  try {
    // Whatever it answers, it is there: only a failed connection rejects.
    await fetch(currentSrc, { method: "HEAD", credentials: "omit" });
    isAsked = false;
  } catch {
    say(origin);
  }
}

/** @param {string} origin */
function say(origin) {
  const notice = document.createElement("div");
  const [title, text, address] = ["strong", "p", "code"].map((name) => document.createElement(name));
  if (!title || !text || !address) return;
  notice.className = "notice warning";
  notice.role = "alert";
  title.textContent = "Pictures do not load";
  address.textContent = origin;
  text.append("They come from ", address, ", which this browser cannot reach. A firewall, a blocker or a name that is not resolved may be in the way.");
  notice.append(title, text);
  document.querySelector("main")?.prepend(notice);
}

addEventListener("error", ({ target }) => void (target instanceof HTMLImageElement && find(target)), { capture: true });
// Those that failed before this script ran.
for (const image of document.images) if (image.complete && !image.naturalWidth) find(image);
