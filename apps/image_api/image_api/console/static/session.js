// A page that the browser kept while going back may belong to a session that has ended.

addEventListener("pageshow", async (event) => {
  if (!event.persisted) return;
  const answer = await fetch("/api/v1/auth/session", { headers: { Accept: "application/json" } }).catch(() => null);
  if (answer?.status !== 401) return;
  document.body.replaceChildren();
  location.reload();
});
