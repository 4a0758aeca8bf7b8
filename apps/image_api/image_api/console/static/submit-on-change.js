// Sends a form when one of its choices changes, such as the order of a list.

for (const control of /** @type {NodeListOf<HTMLSelectElement>} */ (document.querySelectorAll("[data-submit-on-change]"))) {
  control.addEventListener("change", () => control.form?.requestSubmit());
}
