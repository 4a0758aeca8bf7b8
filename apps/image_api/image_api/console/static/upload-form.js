// The form of the upload page: its files, and the tags and metadata of all of them.

import { Refusal } from "./upload-requests.js";

/** @typedef {{tags: string[], metadata: Record<string, unknown>}} Fields */
/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Field */

const PREFIX = "metadata.";

/** @param {string} name @param {string} text @returns {any} */
function parse(name, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(`${name}: this is no valid JSON.`, "request-invalid");
  }
}

/** @param {string} text as the server reads it: separated by commas, or a list of JSON @returns {string[]} */
function tagsOf(text) {
  return text.trimStart().startsWith("[") ? parse("Tags", text) : text.split(",").filter((tag) => tag.trim());
}

/**
 * Return the fields as they are now; without a form there are none.
 * @param {HTMLFormElement | null} form
 * @returns {Fields}
 * @throws {Refusal} A field is not filled in as it says.
 */
export function readFields(form) {
  if (!form) return { tags: [], metadata: {} };
  /** @type {Field[]} */
  const all = Array.from(form.querySelectorAll("input:not([type=hidden], [type=file]), select, textarea"));
  for (const field of all) {
    if (field.checkValidity()) continue;
    throw new Refusal(`${field.labels?.[0]?.textContent}: ${field.validationMessage}`, "request-invalid");
  }
  /** @type {Fields} */
  const fields = { tags: [], metadata: {} };
  const jsonNames = form.dataset.upload?.split(" ") ?? [];
  for (const { name, value } of all) {
    const text = value.trim();
    if (name === "tags") fields.tags = tagsOf(text);
    else if (!text) continue;
    else if (name === "metadata") fields.metadata = parse("Metadata", text);
    else if (name.startsWith(PREFIX)) {
      fields.metadata[name.slice(PREFIX.length)] = jsonNames.includes(name) ? parse(name, text) : text;
    }
  }
  return fields;
}

/**
 * Let the form upload several files, and a folder, without leaving the page.
 * @param {HTMLFormElement} form
 * @param {(files: File[]) => void} add
 */
export function takeOver(form, add) {
  const [file, folder] = /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("input[type=file]"));
  if (!file || !folder) return;
  file.multiple = true;
  folder.closest(".field")?.removeAttribute("hidden");
  folder.addEventListener("change", () => (file.required = !folder.files?.length));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    add([...(file.files ?? []), ...(folder.files ?? [])]);
    file.value = folder.value = "";
    file.required = true;
  });
}
