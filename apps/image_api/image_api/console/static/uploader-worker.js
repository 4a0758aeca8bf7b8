// Hashes files off the page's own thread.

addEventListener("message", async (event) => {
  /** @type {{id: number, file: File}} */
  const { id, file } = event.data;
  let sha256 = null;
  try {
    const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    sha256 = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  } catch {} // The file has gone: sending it says so.
  postMessage({ id, sha256 });
});
