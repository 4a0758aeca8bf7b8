// What was not uploaded to its end, kept by the browser until it is, or until somebody signs out (session.js).

const DATABASE = "console-uploads";
const STORE = "uploads";

/**
 * @typedef {object} Session an upload straight to storage
 * @property {string} upload_id
 * @property {string} url where the bytes go; whoever knows it can send them
 * @property {string} name
 * @property {number} size in bytes
 * @property {number} lastModified in milliseconds
 * @property {string | null} sha256
 */
/** @typedef {Session & {user_id: string, team_id: string}} Stored whose it is, and the team that an admin has chosen */

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** The uploads of one person and team. Without a database, such as in private windows of some browsers, it is empty. */
export class UploadStore {
  /** @type {Promise<IDBDatabase> | null} */
  #database = null;

  /** @param {string} userId @param {string} teamId */
  constructor(userId, teamId) {
    this.userId = userId;
    this.teamId = teamId;
  }

  #open() {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "upload_id" });
    return done(request).then((database) => {
      // Signing out on another page deletes it.
      database.onversionchange = () => database.close();
      return database;
    });
  }

  /**
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest<T>} act
   * @returns {Promise<T | null>}
   */
  async #run(mode, act) {
    try {
      const database = await (this.#database ??= this.#open());
      return await done(act(database.transaction(STORE, mode).objectStore(STORE)));
    } catch {
      return null;
    }
  }

  /** @param {Session} upload */
  add(upload) {
    const owner = { user_id: this.userId, team_id: this.teamId };
    return this.#run("readwrite", (store) => store.put({ ...upload, ...owner }));
  }

  /** @param {string} uploadId */
  remove(uploadId) {
    return this.#run("readwrite", (store) => store.delete(uploadId));
  }

  /**
   * Return what no page is at work on; what somebody else left in this browser is removed.
   * @returns {Promise<Stored[]>}
   */
  async list() {
    /** @type {Stored[]} */
    const all = (await this.#run("readonly", (store) => store.getAll())) ?? [];
    for (const each of all) if (each.user_id !== this.userId) await this.remove(each.upload_id);
    const { held = [] } = (await navigator.locks?.query()) ?? {};
    const taken = new Set(held.map(({ name }) => name));
    return all.filter((each) => {
      return each.user_id === this.userId && each.team_id === this.teamId && !taken.has(lockOf(each.upload_id));
    });
  }
}

/** @param {string} uploadId */
const lockOf = (uploadId) => `${DATABASE} ${uploadId}`;

/**
 * Work on an upload, so that other pages of this browser leave it alone.
 * @template T
 * @param {string} uploadId
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function working(uploadId, work) {
  // Pages over plain HTTP from another machine have no locks.
  return navigator.locks ? await navigator.locks.request(lockOf(uploadId), work) : await work();
}
