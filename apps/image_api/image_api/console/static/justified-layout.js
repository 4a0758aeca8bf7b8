// Arranges pictures in rows of one width, and maps heights that browsers cannot show to one that they can.

// Browsers cut boxes off at 17 million pixels and more, at half of that on dense screens.
export const MOST_PX = 8_000_000;
const USUAL_RATIO = 1.4;
const [NARROWEST, WIDEST] = [0.4, 3];

/** @typedef {{width: number, target: number, gap: number}} Shape in CSS pixels; `target` is the height of a row */
/** @typedef {{starts: Uint32Array, tops: Float64Array, heights: Float32Array, height: number}} Rows
 * `starts` has the first picture of each row, and at its end the number of pictures in rows. */

/** Return a ratio of width and height that fits in a row. @param {number | null} ratio null if it is not known */
export const shownRatio = (ratio) => Math.min(WIDEST, Math.max(NARROWEST, ratio ?? 1));

/**
 * Break pictures into rows of the whole width, each about as high as wanted. More pictures do not change earlier rows.
 *
 * @param {ArrayLike<number>} ratios
 * @param {Shape} shape
 * @param {boolean} isWhole whether no pictures follow, so that the last row may be short
 * @returns {Rows}
 */
export function justify(ratios, { width, target, gap }, isWhole) {
  const starts = new Uint32Array(ratios.length + 1);
  const tops = new Float64Array(ratios.length);
  const heights = new Float32Array(ratios.length);
  let [row, start, sum, top] = [0, 0, 0, 0];
  /** @param {number} end @param {number} height */
  const close = (end, height) => {
    [tops[row], heights[row]] = [top, height];
    top += height + gap;
    row += 1;
    starts[row] = start = end;
  };
  for (let at = 0; at < ratios.length; at += 1) {
    const ratio = /** @type {number} */ (ratios[at]);
    const without = (width - gap * (at - start - 1)) / sum;
    sum += ratio;
    const height = (width - gap * (at - start)) / sum;
    if (height > target) continue;
    if (at > start && without - target < target - height) {
      close(at, without);
      sum = ratio;
      if (width / ratio > target) continue;
      close(at + 1, width / ratio);
    } else {
      close(at + 1, height);
    }
    sum = 0;
  }
  if (isWhole && start < ratios.length) close(ratios.length, target);
  return { starts: starts.slice(0, row + 1), tops: tops.slice(0, row), heights: heights.slice(0, row), height: top };
}

/** Return about how high so many pictures become. @param {number} count @param {Shape} shape */
export function estimate(count, { width, target, gap }) {
  return Math.ceil((count * (USUAL_RATIO * target + gap)) / width) * (target + gap);
}

/** Return how many pixels of the content one pixel of the scroll bar stands for. @param {number} height @param {number} view */
export function proportion(height, view) {
  return height <= MOST_PX ? 1 : (height - view) / (MOST_PX - view);
}

/** Return the last index of which the value is at most `value`, or 0. @param {ArrayLike<number>} sorted @param {number} value */
export function lastAtMost(sorted, value) {
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (/** @type {number} */ (sorted[middle]) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
