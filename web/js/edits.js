// @ts-check
/** Pure changes to prompts: each returns new prompts and leaves the given ones as they are. */

/** @typedef {import("./types.d.ts").Point} Point */
/** @typedef {import("./types.d.ts").Box} Box */
/** @typedef {import("./types.d.ts").Prompts} Prompts */
/** @typedef {import("./types.d.ts").Ref} Ref */
/** @typedef {import("./types.d.ts").Size} Size */
/** @typedef {import("./types.d.ts").Corner} Corner */

/** A point lies below the image's size; half a hundredth survives rounding to two decimals. */
const EDGE = 0.01;
/** A box is at least this many pixels wide and high. */
const MIN_BOX = 1;

/** @param {number} value @param {number} low @param {number} high */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), Math.max(low, high));
}

/** @param {Prompts} prompts @param {Point} point @param {Size} size @returns {Prompts} */
export function addPoint(prompts, point, size) {
  return { ...prompts, points: [...prompts.points, insidePoint(point, size)] };
}

/** @param {Prompts} prompts @param {Box} box @param {Size} size @returns {Prompts} */
export function addBox(prompts, box, size) {
  return { ...prompts, boxes: [...prompts.boxes, orderedBox(box, size)] };
}

/** @param {Prompts} prompts @param {Ref} ref @returns {Prompts} */
export function removeItem(prompts, ref) {
  const kept = (/** @type {unknown} */ _, /** @type {number} */ index) => index !== ref.index;
  return ref.kind === "point"
    ? { ...prompts, points: prompts.points.filter(kept) }
    : { ...prompts, boxes: prompts.boxes.filter(kept) };
}

/** @param {Prompts} prompts @param {Ref} ref @returns {Prompts} */
export function flipItem(prompts, ref) {
  return change(prompts, ref, (item) => ({ ...item, positive: !item.positive }));
}

/**
 * Moves a point or a whole box by pixels of the image, as far as the image goes.
 * @param {Prompts} prompts @param {Ref} ref @param {number} dx @param {number} dy @param {Size} size
 * @returns {Prompts}
 */
export function moveItem(prompts, ref, dx, dy, size) {
  if (ref.kind === "point") {
    const { x, y, ...rest } = prompts.points[ref.index];
    const moved = insidePoint({ x: x + dx, y: y + dy, ...rest }, size);
    return change(prompts, ref, () => moved);
  }
  const box = prompts.boxes[ref.index];
  const mx = clamp(dx, -box.x1, size[0] - box.x2);
  const my = clamp(dy, -box.y1, size[1] - box.y2);
  const moved = { ...box, x1: box.x1 + mx, y1: box.y1 + my, x2: box.x2 + mx, y2: box.y2 + my };
  return change(prompts, ref, () => moved);
}

/**
 * Moves one corner of a box.
 * @param {Prompts} prompts @param {Ref} ref @param {Corner} corner
 * @param {number} dx @param {number} dy @param {Size} size @returns {Prompts}
 */
export function moveCorner(prompts, ref, corner, dx, dy, size) {
  const box = { ...prompts.boxes[ref.index] };
  box[corner.x] += dx;
  box[corner.y] += dy;
  return change(prompts, ref, () => orderedBox(box, size));
}

/** @param {Prompts} prompts @param {Ref} ref @returns {Point | Box | undefined} */
export function itemOf(prompts, ref) {
  return ref.kind === "point" ? prompts.points[ref.index] : prompts.boxes[ref.index];
}

/** All items, boxes after points. @param {Prompts} prompts @returns {Ref[]} */
export function allItems(prompts) {
  return [
    ...prompts.points.map((_, index) => /** @type {Ref} */ ({ kind: "point", index })),
    ...prompts.boxes.map((_, index) => /** @type {Ref} */ ({ kind: "box", index })),
  ];
}

/** Calls an object something; "" by its number again. @param {Prompts} prompts @param {number} object
 * @param {string} name @returns {Prompts} */
export function nameObject(prompts, object, name) {
  const { [object]: _, ...names } = prompts.names;
  return { ...prompts, names: name.trim() ? { ...names, [object]: name.trim() } : names };
}

/** The object numbers in use, ascending. @param {Prompts} prompts @returns {number[]} */
export function objectNumbers(prompts) {
  const numbers = new Set([...prompts.points, ...prompts.boxes, ...prompts.masks].map((item) => item.object));
  return [...numbers].sort((a, b) => a - b);
}

/**
 * @param {Prompts} prompts @param {Ref} ref @param {(item: any) => any} make @returns {Prompts}
 */
function change(prompts, ref, make) {
  const at = (/** @type {any} */ item, /** @type {number} */ index) =>
    index === ref.index ? make(item) : item;
  return ref.kind === "point"
    ? { ...prompts, points: prompts.points.map(at) }
    : { ...prompts, boxes: prompts.boxes.map(at) };
}

/** @param {Point} point @param {Size} size @returns {Point} */
function insidePoint(point, size) {
  return {
    ...point,
    x: clamp(point.x, 0, size[0] - EDGE),
    y: clamp(point.y, 0, size[1] - EDGE),
  };
}

/** @param {Box} box @param {Size} size @returns {Box} */
function orderedBox(box, size) {
  const [x1, x2] = orderedSide(box.x1, box.x2, size[0]);
  const [y1, y2] = orderedSide(box.y1, box.y2, size[1]);
  return { ...box, x1, y1, x2, y2 };
}

/** @param {number} a @param {number} b @param {number} limit */
function orderedSide(a, b, limit) {
  const low = clamp(Math.min(a, b), 0, limit - MIN_BOX);
  return [low, clamp(Math.max(a, b), low + MIN_BOX, limit)];
}
