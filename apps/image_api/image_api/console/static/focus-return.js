// Going back puts the focus on the link that was followed: whoever uses the keyboard goes on from there.

addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("main a[href]") : null;
  if (link) history.replaceState({ ...history.state, followed: link.getAttribute("href") }, "");
});

const [visit] = performance.getEntriesByType("navigation");
if (visit instanceof PerformanceNavigationTiming && visit.type === "back_forward") {
  const followed = history.state?.followed;
  const link = [...document.links].find((each) => each.getAttribute("href") === followed);
  // The browser has scrolled to where the page was.
  link?.focus({ preventScroll: true });
}
