// Follows the feed as server-sent events, by a reader of our own: a browser's EventSource stays closed after a refusal.

/** @typedef {{id: string, type: string, timestamp: string, team_id: string | null, data: Record<string, unknown>}} Change */
/** @typedef {{onOpen: () => void, onChange: (change: Change) => void}} Listener */

/**
 * Follow the feed until it ends.
 *
 * @param {string} query which feed, such as `?team_id=…`
 * @param {string} after the cursor after which to begin; empty for now
 * @param {Listener} listener
 * @param {AbortSignal} signal
 * @returns {Promise<{reason: string, cursor: string}>} why it ended, and where to go on
 */
export async function follow(query, after, listener, signal) {
  const headers = { Accept: "text/event-stream", ...(after && { "Last-Event-ID": after }) };
  const answer = await fetch(`/api/v1/events${query}`, { headers, signal, cache: "no-store" });
  if (!answer.ok || !answer.body) throw new Error(`events: ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, cursor, isOpen] = ["", after, false];
  for (;;) {
    const { done, value = "" } = await reader.read();
    if (done) return { reason: "closed", cursor };
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const fields = new Map(block.split("\n").map((line) => /** @type {[string, string]} */ (line.split(/: (.*)/s, 2))));
      cursor = fields.get("id") ?? cursor;
      if (!isOpen) listener.onOpen();
      isOpen = true;
      const data = fields.get("data");
      if (!data) continue;
      if (fields.get("event") === "end") return { reason: JSON.parse(data).reason, cursor };
      listener.onChange(JSON.parse(data));
    }
  }
}
