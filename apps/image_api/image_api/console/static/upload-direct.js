// Sends a large file straight to storage, in pieces, from the byte that storage has.

import { pieceOf } from "./upload-files.js";
import { newKey, pause, Refusal, send, untilAnswered } from "./upload-requests.js";

/** @import { Answer, Api, Say } from "./upload-requests.js" */
/** @import { Session } from "./upload-store.js" */
/** @import { Fields } from "./upload-form.js" */

const PIECE_BYTES = 8 * 1024 * 1024; // A multiple of what storage accepts, 256 KiB.
const MOST_STANDSTILLS = 5;

/** An upload that takes nothing more: the file has to be sent anew. */
export class Ended extends Refusal {}

/** @param {Answer} answer */
const isBroken = ({ status }) => status === 0 || status === 408 || status === 429 || status >= 500;

/**
 * Open an upload; return its record, or the ID of the image that the team has already.
 * @param {Api} api
 * @param {File} file
 * @param {string} mediaType
 * @param {string | null} sha256
 * @param {Fields} fields
 * @param {Say} say
 * @returns {Promise<Session | string>}
 * @throws {Refusal}
 */
export async function openUpload(api, file, mediaType, sha256, fields, say) {
  const { name, size, lastModified } = file;
  const body = {
    filename: name, content_type: mediaType, size_bytes: size, sha256, origin: location.origin, restore_trashed: false,
    ...fields,
  };
  for (;;) {
    const opened = await api.ask("POST", `/uploads${api.teamQuery}`, { body, key: newKey(), say });
    if (opened.status === 200) return opened.body.id;
    const { upload_id, url } = opened.body;
    if (url) return { upload_id, url, name, size, lastModified, sha256 };
    // The answer was lost, and its repetition does not tell the address again.
    await cancelUpload(api, upload_id);
  }
}

/**
 * Cancel an upload; one that has arrived or is gone stays as it is.
 * @param {Api} api
 * @param {string} uploadId
 */
export async function cancelUpload(api, uploadId) {
  try {
    await api.ask("DELETE", `/uploads/${uploadId}`);
  } catch (error) {
    if (!(error instanceof Refusal) || !["upload-not-found", "upload-complete"].includes(error.code)) throw error;
  }
}

/**
 * Send what storage does not have of a file.
 * @param {Api} api
 * @param {{upload_id: string, url: string}} upload
 * @param {File} file
 * @param {boolean} isNew
 * @param {(sentBytes: number) => void} onProgress
 * @param {Say} say
 * @throws {Refusal}
 */
export async function sendPieces(api, { upload_id, url }, file, isNew, onProgress, say) {
  const { size } = file;
  /** @type {number | null} null if it is not known how much has arrived */
  let arrived = isNew ? 0 : null;
  let standstills = 0;
  const attempt = async () => {
    const begin = arrived;
    // Without bytes, storage is asked how many it has.
    const asks = begin === null || begin >= size;
    const end = asks ? 0 : Math.min(begin + PIECE_BYTES, size);
    const piece = asks ? null : await pieceOf(file, begin, end);
    const range = asks ? "*" : `${begin}-${end - 1}`;
    const answer = await send("PUT", url, { "Content-Range": `bytes ${range}/${size}` }, piece, (sent) => {
      if (begin !== null) onProgress(begin + sent);
    });
    if (isBroken(answer)) arrived = null;
    return answer;
  };
  for (;;) {
    const before = arrived;
    const answer = await untilAnswered(attempt, say, isBroken);
    if (answer.status === 200 || answer.status === 201) return;
    if (answer.status !== 308) return await checkArrived(api, upload_id, answer.status);
    arrived = await arrivedBytes(api, upload_id, answer);
    standstills = before !== null && arrived <= before ? standstills + 1 : 0;
    if (standstills > MOST_STANDSTILLS) throw new Refusal("Storage does not keep what is sent.");
    onProgress(arrived);
  }
}

/**
 * Explain why storage takes nothing more, unless the whole file has arrived.
 * @param {Api} api
 * @param {string} uploadId
 * @param {number} status
 * @throws {Ended}
 */
async function checkArrived(api, uploadId, status) {
  const { body } = await api.ask("GET", `/uploads/${uploadId}`);
  if (body.state === "received") return;
  if (body.state !== "open") throw endOf(body);
  await cancelUpload(api, uploadId);
  throw new Ended(`Storage refused the file with ${status}.`);
}

/** @param {Api} api @param {string} uploadId @param {Answer} answer @returns {Promise<number>} */
async function arrivedBytes(api, uploadId, answer) {
  const last = answer.header("Range")?.split("-")[1];
  if (last) return Number(last) + 1;
  // Nothing has arrived, or storage does not show the header to pages.
  const { body } = await api.ask("GET", `/uploads/${uploadId}`);
  return body.received_bytes ?? 0;
}

/**
 * Wait until a file that has arrived was checked; return the ID of its image.
 * @param {Api} api
 * @param {string} uploadId
 * @returns {Promise<string>}
 * @throws {Refusal}
 */
export async function untilChecked(api, uploadId) {
  for (let seconds = 0.5; ; seconds = Math.min(seconds * 1.5, 5)) {
    const { body } = await api.ask("GET", `/uploads/${uploadId}`);
    if (body.state === "refused" || body.state === "expired") throw endOf(body);
    if (body.state === "received" && body.status !== "pending") return body.image_id;
    await pause(seconds);
  }
}

/** @param {{failure: {code: string, message: string} | null}} upload @returns {Ended} */
export function endOf({ failure }) {
  return failure ? new Ended(failure.message, failure.code) : new Ended("The upload has expired.", "upload-expired");
}
