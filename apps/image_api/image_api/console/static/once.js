// A form that makes something is sent once, however often its button is pressed.

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    const button = form.querySelector("button");
    if (!button) return;
    if (button.ariaBusy === "true") event.preventDefault();
    button.ariaBusy = "true";
  });
}

// Going back to the page makes another attempt possible; its key is still the first one's.
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("form[data-once] button")) button.ariaBusy = null;
});
