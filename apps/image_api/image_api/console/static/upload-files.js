// What is in a drop or a folder, and what kind of picture a file is.

import { Refusal } from "./upload-requests.js";

const HIDDEN = /^\.|^(Thumbs\.db|desktop\.ini|__MACOSX)$/i;
const AVIF = /^(avif|avis)$/;
const HEIC = /^(hei[cmsx]|hev[cmsx])$/;
const HEAD_BYTES = 64;

/** @typedef {{files: File[], hidden: number}} Found files to upload, and how many hidden ones were left out */

/** @param {Iterable<File>} files @returns {Found} */
export function visibleOf(files) {
  const all = [...files];
  const visible = all.filter(({ webkitRelativePath, name }) => {
    return !(webkitRelativePath || name).split("/").some((part) => HIDDEN.test(part));
  });
  return { files: visible, hidden: all.length - visible.length };
}

/** @param {FileSystemFileEntry} entry @returns {Promise<File>} */
const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

/** @param {FileSystemDirectoryEntry} folder @returns {Promise<FileSystemEntry[]>} */
async function entriesOf(folder) {
  const reader = folder.createReader();
  const found = [];
  // Each answer has at most a hundred entries; the last one has none.
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...some);
  }
}

/** @param {FileSystemEntry} entry @param {Found} found */
async function walk(entry, found) {
  if (HIDDEN.test(entry.name)) {
    found.hidden += 1;
  } else if (entry.isDirectory) {
    for (const each of await entriesOf(/** @type {FileSystemDirectoryEntry} */ (entry))) await walk(each, found);
  } else {
    found.files.push(await fileOf(/** @type {FileSystemFileEntry} */ (entry)));
  }
}

/**
 * Return what was dropped or pasted, with what is in its folders. The event's handler must call it at once.
 * @param {DataTransfer | null} transfer
 * @returns {Promise<Found>}
 */
export async function filesIn(transfer) {
  const items = [...(transfer?.items ?? [])].filter(({ kind }) => kind === "file");
  const dropped = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
  /** @type {Found} */
  const found = { files: [], hidden: 0 };
  for (const each of dropped) {
    if (each instanceof File) found.files.push(each);
    else if (each) await walk(each, found);
  }
  return found;
}

/**
 * Return the media type that the first bytes of a file tell, null if it is no picture that the server takes.
 * @param {File} file
 * @returns {Promise<string | null>}
 * @throws {Refusal} The file cannot be read.
 */
export async function mediaTypeOf(file) {
  const first = await pieceOf(file, 0, HEAD_BYTES);
  const head = String.fromCharCode(...new Uint8Array(await first.arrayBuffer()));
  if (head.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (/^GIF8[79]a/.test(head)) return "image/gif";
  if (/^RIFF.{4}WEBP/s.test(head)) return "image/webp";
  if (/^(II[*+]\0|MM\0[*+])/.test(head)) return "image/tiff";
  if (head.slice(4, 8) !== "ftyp") return null;
  const brands = head.slice(8, head.charCodeAt(3)).match(/.{4}/gs) ?? [];
  if (brands.some((brand) => AVIF.test(brand))) return "image/avif";
  // Others name only the container; what is in it stands further on, and is most often this.
  return brands.some((brand) => HEIC.test(brand) || brand === "mif1" || brand === "msf1") ? "image/heic" : null;
}

/**
 * Return some bytes of a file, which can be read.
 * @param {File} file
 * @param {number} begin
 * @param {number} end
 * @returns {Promise<Blob>}
 * @throws {Refusal}
 */
export async function pieceOf(file, begin, end) {
  try {
    await file.slice(begin, begin + 1).arrayBuffer();
  } catch {
    throw new Refusal("The file cannot be read: it is a folder, or was changed, moved or removed.");
  }
  return file.slice(begin, end);
}
