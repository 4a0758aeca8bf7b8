// A page that the browser kept while going back may belong to a session that has ended.

addEventListener("pageshow", async (event) => {
  if (!event.persisted) return;
  const answer = await fetch("/api/v1/auth/session", { headers: { Accept: "application/json" } }).catch(() => null);
  if (answer?.status !== 401) return;
  document.body.replaceChildren();
  location.reload();
});

// Signing out forgets unfinished uploads: their addresses take files. Over plain HTTP, browsers ignore Clear-Site-Data.
/** @type {HTMLFormElement | null} */
const signOut = document.querySelector("form[action='/console/sign-out']");
signOut?.addEventListener("submit", (event) => {
  const deletion = indexedDB.deleteDatabase("console-uploads");
  deletion.onsuccess = deletion.onerror = deletion.onblocked = () => signOut.submit();
  event.preventDefault();
});
