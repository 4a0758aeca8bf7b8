// Puts the text of a chosen file into the text area that the field names.

/** @type {NodeListOf<HTMLInputElement>} */
const inputs = document.querySelectorAll("input[data-into]");
for (const input of inputs) {
  const area = document.getElementById(input.dataset.into ?? "");
  const field = input.closest("div");
  if (!(area instanceof HTMLTextAreaElement) || !field) continue;
  field.hidden = false;
  input.addEventListener("change", async () => {
    const file = input.files?.[0];
    if (file) area.value = await file.text();
  });
}
