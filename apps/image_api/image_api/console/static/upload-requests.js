// Requests that report their progress, and are repeated when that may help.

const API = "/api/v1";
const STALLED_MS = 120_000;
const MOST_WAITS = 60;
/** Seconds before each new attempt after a broken connection. */
const PAUSES = [1, 2, 4, 8, 15, 30];
/** Answers of what stands between this page and the server. */
const GATEWAY = [0, 502, 504];

/**
 * @typedef {object} Answer
 * @property {number} status 0 if the connection broke
 * @property {string} text
 * @property {(name: string) => string | null} header null where another origin does not show it
 */
/** @typedef {(text: string) => void} Say tells what is waited for */

/** Why a file was not uploaded; `code` names the page of the error. */
export class Refusal extends Error {
  /** @param {string} message @param {string} [code] */
  constructor(message, code = "") {
    super(message);
    this.code = code;
  }
}

/** @param {number} seconds */
export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** A key for a request that may be repeated. `randomUUID` is missing on pages over plain HTTP from another machine. */
export const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

/**
 * @param {string} method
 * @param {string} url
 * @param {Record<string, string>} headers
 * @param {XMLHttpRequestBodyInit | null} body
 * @param {(sent: number, total: number) => void} [onProgress] in bytes of the body
 * @returns {Promise<Answer>}
 */
export function send(method, url, headers, body, onProgress) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    // `timeout` would end long transfers as well.
    let stalled = setTimeout(() => request.abort(), STALLED_MS);
    request.upload.onprogress = (event) => {
      clearTimeout(stalled);
      stalled = setTimeout(() => request.abort(), STALLED_MS);
      onProgress?.(event.loaded, event.total);
    };
    request.onloadend = () => {
      clearTimeout(stalled);
      const { status, responseText } = request;
      resolve({ status, text: responseText, header: (name) => request.getResponseHeader(name) });
    };
    request.send(body);
  });
}

/** @param {Answer} answer @returns {Refusal} */
export function problemOf({ status, text }) {
  try {
    /** @type {{detail: string, code: string, errors?: {field: string, message: string}[]}} */
    const { detail, code, errors = [] } = JSON.parse(text);
    return new Refusal(errors.map((each) => `${each.field}: ${each.message}`).join(" ") || detail, code);
  } catch {
    return new Refusal(`The server answered ${status}.`);
  }
}

/** @param {Answer} answer @returns {number} 0 if the answer is final */
function secondsToWait(answer) {
  const { status } = answer;
  // After a broken connection, the first attempt may still be at work.
  const isInUse = status === 409 && problemOf(answer).code === "idempotency-key-in-use";
  if (!isInUse && status !== 429 && status !== 503) return 0;
  return Number(answer.header("Retry-After")) || (isInUse ? 2 : 0);
}

async function untilOnline() {
  if (!navigator.onLine) await new Promise((resolve) => addEventListener("online", resolve, { once: true }));
}

/**
 * Repeat a request until it is answered: when the server says so, and with growing pauses after a broken connection.
 * @param {() => Promise<Answer>} attempt
 * @param {Say} say
 * @param {(answer: Answer) => boolean} [isBroken]
 * @returns {Promise<Answer>}
 */
export async function untilAnswered(attempt, say, isBroken = ({ status }) => GATEWAY.includes(status)) {
  let broken = 0;
  for (let waits = 0; waits < MOST_WAITS; waits += 1) {
    const answer = await attempt();
    if (isBroken(answer)) {
      const seconds = PAUSES[broken];
      if (!seconds) throw new Refusal("The connection broke off again and again.");
      broken += 1;
      say(navigator.onLine ? "Connection lost, sending again" : "Offline, waiting for the network");
      await pause(seconds);
      await untilOnline();
    } else {
      const seconds = secondsToWait(answer);
      if (!seconds) return answer;
      say(`The server is busy, sending again in ${seconds} s`);
      await pause(seconds);
    }
  }
  throw new Refusal("The server stayed busy.");
}

/** The API, as this session uses it. */
export class Api {
  /** @param {string} token of the session @param {string} teamId the team that an admin has chosen, or empty */
  constructor(token, teamId) {
    this.token = token;
    this.teamQuery = teamId && `?team_id=${teamId}`;
  }

  /** @param {string} path without the team, which only operations that add something take */
  url = (path) => API + path;

  /**
   * @param {Record<string, string>} [others]
   * @returns {Record<string, string>}
   */
  headers = (others = {}) => ({ "X-CSRF-Token": this.token, ...others });

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [options]
   * @param {object} [options.body]
   * @param {string} [options.key] of a request that creates something
   * @param {Say} [options.say]
   * @returns {Promise<{status: number, body: any}>}
   * @throws {Refusal}
   */
  async ask(method, path, { body, key, say = () => {} } = {}) {
    const headers = this.headers({ "Content-Type": "application/json", ...(key && { "Idempotency-Key": key }) });
    const sent = body ? JSON.stringify(body) : null;
    const answer = await untilAnswered(() => send(method, this.url(path), headers, sent), say);
    if (answer.status >= 400) throw Object.assign(problemOf(answer), { status: answer.status });
    return { status: answer.status, body: answer.text ? JSON.parse(answer.text) : null };
  }
}
