// Counts the values of a metadata field when its part of the filters is opened, so that the list is there before.

const NOT_COUNTED = ["at", "before", "cursor", "facet", "include_total", "limit", "order_by", "view"];

/** Return the address of the list with this value of a field, or without it. @param {string} name @param {string} value */
function addressOf(name, value) {
  const address = new URL(location.href);
  const isChosen = address.searchParams.has(name, value);
  for (const other of ["at", "before", "cursor", "facet", name]) address.searchParams.delete(other);
  if (!isChosen) address.searchParams.set(name, value);
  return { address: address.href, isChosen };
}

/** @param {string} name @param {{value: unknown, count: number}} counted */
function lineOf(name, { value, count }) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const { address, isChosen } = addressOf(name, text);
  const link = Object.assign(document.createElement("a"), { href: address });
  if (isChosen) link.ariaCurrent = "true";
  const shown = document.createElement("span");
  shown.textContent = { true: "Yes", false: "No" }[text] ?? text;
  const number = Object.assign(document.createElement("span"), { className: "muted" });
  number.textContent = count.toLocaleString("en");
  link.append(shown, " ", number);
  const line = document.createElement("li");
  line.append(link);
  return line;
}

/** @param {HTMLDetailsElement} part */
async function count(part) {
  const place = part.querySelector("p");
  if (!part.open || !place) return;
  const field = part.dataset.facet ?? "";
  const query = new URLSearchParams(location.search);
  for (const name of [...query.keys()]) {
    const isOfField = name === `meta.${field}` || name.startsWith(`meta.${field}[`);
    if (NOT_COUNTED.includes(name) || isOfField) query.delete(name);
  }
  query.set("field", field);
  place.textContent = "Counting …";
  try {
    const answer = await fetch(`/api/v1/images/facets?${query}`, { headers: { Accept: "application/json" } });
    const { values, detail } = await answer.json();
    if (!answer.ok) throw new Error(detail);
    if (!values.length) {
      place.textContent = "No image here has it.";
      return;
    }
    const list = Object.assign(document.createElement("ul"), { className: "choices" });
    list.append(...values.map((/** @type {{value: unknown, count: number}} */ each) => lineOf(`meta.${field}`, each)));
    place.replaceWith(list);
  } catch (error) {
    place.textContent = `Not counted. ${error instanceof Error ? error.message : ""}`;
  }
}

for (const part of /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll("details[data-facet]"))) {
  part.addEventListener("toggle", () => count(part));
}
