// @ts-check
/**
 * Rough masks on a coarse grid over the image: read, written and painted. Pure. Mirrors
 * core/prompts/painted.py; the runs go down the columns, cells off the object first.
 */

/** @typedef {import("./types.d.ts").Painted} Painted */
/** @typedef {import("./types.d.ts").Prompts} Prompts */
/** @typedef {import("./types.d.ts").Size} Size */
/** @typedef {import("./types.d.ts").XY} XY */
/** @typedef {(name: string, found: unknown, wanted: string) => never} Fail */

/** The longest side of a grid, in cells. */
export const MAX_SIDE = 256;

/**
 * The painted masks of a text, without those on which nothing is painted.
 * @param {any} value @param {string} name @param {Fail} fail ends it for what the node would refuse
 * @returns {Painted[]}
 */
export function readMasks(value, name, fail) {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) fail(name, value, "a list of painted masks is expected");
  const masks = value.map((/** @type {any} */ one, /** @type {number} */ index) => readMask(one, `${name}[${index}]`, fail));
  return masks.filter((/** @type {Painted} */ { counts }) => counts.some((count, index) => index % 2 && count));
}

/** @param {any} value @param {string} name @param {Fail} fail @returns {Painted} */
function readMask(value, name, fail) {
  const isMask = typeof value === "object" && value !== null && "size" in value && "counts" in value;
  if (!isMask) fail(name, value, "a painted mask is an object with size and counts");
  const { size, counts, object = 0, frame = null } = value;
  const isGrid = Array.isArray(size) && size.length === 2 && size.every((side) => isWhole(side) && side >= 1 && side <= MAX_SIDE);
  if (!isGrid) fail(`${name}.size`, size, `the size is [rows, columns], from 1 to ${MAX_SIDE}`);
  if (!Array.isArray(counts) || !counts.every(isWhole)) {
    fail(`${name}.counts`, counts, "the counts are a list of whole numbers from 0");
  }
  const [rows, columns] = size;
  const total = counts.reduce((/** @type {number} */ sum, /** @type {number} */ count) => sum + count, 0);
  if (total !== rows * columns) fail(`${name}.counts`, total, `the counts add up to ${rows} x ${columns} = ${rows * columns}`);
  if (!isWhole(object)) fail(`${name}.object`, object, "the object is a whole number from 0");
  if (frame !== null && !isWhole(frame)) fail(`${name}.frame`, frame, "the frame is a whole number from 0");
  return { size: [rows, columns], counts, object, frame };
}

/** What stands for a mask in a text. @param {Painted} mask */
export function writeMask({ object, frame, size, counts }) {
  return { object, ...(frame === null ? {} : { frame }), size, counts };
}

/** The cells of a mask, column by column: 1 where it is painted. @param {Painted} mask */
export function cellsOf({ size, counts }) {
  const cells = new Uint8Array(size[0] * size[1]);
  let at = 0;
  for (const [index, count] of counts.entries()) {
    if (index % 2) cells.fill(1, at, at + count);
    at += count;
  }
  return cells;
}

/** @param {Uint8Array} cells @returns {number[]} */
function countsOf(cells) {
  const counts = [];
  let [value, start] = [0, 0];
  for (let at = 0; at <= cells.length; at += 1) {
    if (at < cells.length && cells[at] === value) continue;
    counts.push(at - start);
    [value, start] = [1 - value, at];
  }
  return counts;
}

/**
 * @typedef {object} Stroke
 * @property {XY} from in pixels of the image
 * @property {XY} to
 * @property {number} radius
 * @property {boolean} positive whether it paints, and does not erase
 * @property {number} object
 * @property {number | null} frame of what it paints
 */

/**
 * Prompts with a stroke painted or erased. What is erased goes from every mask of the object that
 * is shown; one of which nothing is left goes away.
 * @param {Prompts} prompts @param {Stroke} stroke @param {Size} size of the image
 * @param {(mask: Painted) => boolean} isShown @returns {Prompts}
 */
export function paint(prompts, stroke, size, isShown) {
  const { object, frame, positive } = stroke;
  const isOwn = (/** @type {Painted} */ mask) => mask.object === object && mask.frame === frame;
  const isHit = positive ? isOwn : (/** @type {Painted} */ mask) => mask.object === object && isShown(mask);
  const [rows, columns] = gridOf(size);
  const { masks } = prompts;
  /** @type {Painted} */
  const blank = { size: [rows, columns], counts: [rows * columns], object, frame };
  const all = positive && !masks.some(isOwn) ? [...masks, blank] : masks;
  const painted = all.map((mask) => (isHit(mask) ? stroked(mask, stroke, size) : mask));
  return { ...prompts, masks: painted.filter(({ counts }) => counts.length > 1) };
}

/** Rows and columns for an image: the longer side has MAX_SIDE cells, or one for each pixel.
 * @param {Size} size @returns {[number, number]} */
function gridOf([width, height]) {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  return [Math.max(1, Math.round(height * scale)), Math.max(1, Math.round(width * scale))];
}

/** @param {Painted} mask @param {Stroke} stroke @param {Size} size @returns {Painted} */
function stroked(mask, { from, to, radius, positive }, [width, height]) {
  const [rows, columns] = mask.size;
  const [sx, sy] = [width / columns, height / rows];
  const cells = cellsOf(mask);
  const first = cellAt(Math.min(from.x, to.x) - radius, sx, columns);
  const last = cellAt(Math.max(from.x, to.x) + radius, sx, columns);
  const top = cellAt(Math.min(from.y, to.y) - radius, sy, rows);
  const bottom = cellAt(Math.max(from.y, to.y) + radius, sy, rows);
  for (let column = first; column <= last; column += 1) {
    for (let row = top; row <= bottom; row += 1) {
      const middle = { x: (column + 0.5) * sx, y: (row + 0.5) * sy };
      if (distance(middle, from, to) <= radius) cells[column * rows + row] = positive ? 1 : 0;
    }
  }
  return { ...mask, counts: countsOf(cells) };
}

/** @param {number} at @param {number} side of a cell @param {number} count of cells */
function cellAt(at, side, count) {
  return Math.min(Math.max(Math.floor(at / side), 0), count - 1);
}

/** From a place to a line between two others. @param {XY} at @param {XY} from @param {XY} to */
function distance(at, from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  const share = length ? Math.min(Math.max(((at.x - from.x) * dx + (at.y - from.y) * dy) / length, 0), 1) : 0;
  return Math.hypot(at.x - from.x - share * dx, at.y - from.y - share * dy);
}

/** @param {unknown} value */
function isWhole(value) {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
