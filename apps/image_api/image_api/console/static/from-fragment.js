// Fills a field with the token in the fragment of a link, which no server sees, and takes it out of the address.

const token = decodeURIComponent(location.hash.slice(1));
if (token) {
  history.replaceState(null, "", location.pathname + location.search);
  /** @type {NodeListOf<HTMLInputElement>} */
  const fields = document.querySelectorAll("input[data-from-fragment]");
  for (const field of fields) {
    field.value = token;
    if (field.dataset.fromFragment === "submit") field.form?.requestSubmit();
  }
}
