// Sets the focal point by a click on the picture, or by arrow keys on it; the fields hold its place in per cent.

/** @type {Record<string, [number, number]>} */
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 10;
const MIDDLE = "50";

const surface = /** @type {HTMLElement} */ (document.querySelector("[data-focal]"));
const hint = /** @type {HTMLElement} */ (document.querySelector("[data-focal-hint]"));
const marks = surface.querySelectorAll("circle");
const across = /** @type {HTMLInputElement} */ (document.getElementById("focal_x"));
const down = /** @type {HTMLInputElement} */ (document.getElementById("focal_y"));

function show() {
  const isSet = across.value !== "" && down.value !== "";
  for (const mark of marks) {
    mark.toggleAttribute("hidden", !isSet);
    mark.setAttribute("cx", `${across.value || MIDDLE}%`);
    mark.setAttribute("cy", `${down.value || MIDDLE}%`);
  }
}

/** @param {number} x @param {number} y in per cent, stored in thousandths */
function move(x, y) {
  for (const [field, value] of /** @type {[HTMLInputElement, number][]} */ ([[across, x], [down, y]])) {
    field.value = String(Math.round(Math.max(0, Math.min(100, value)) * 10) / 10);
  }
  show();
}

surface.tabIndex = 0;
surface.role = "application";
surface.ariaLabel = "Focal point: arrow keys move it";
hint.hidden = false;
surface.addEventListener("click", (event) => {
  const box = surface.getBoundingClientRect();
  move(((event.clientX - box.left) / box.width) * 100, ((event.clientY - box.top) / box.height) * 100);
});
surface.addEventListener("keydown", (event) => {
  const [right, below] = MOVES[event.key] ?? [0, 0];
  if ((!right && !below) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const far = event.shiftKey ? FAR : 1;
  move(Number(across.value || MIDDLE) + right * far, Number(down.value || MIDDLE) + below * far);
});
for (const field of [across, down]) field.addEventListener("input", show);
