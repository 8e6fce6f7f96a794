// @ts-check
/**
 * Reads and writes the text of the `points` input. Mirrors core/prompts/formats.py, which is the
 * authority; tests/vectors/points.json holds both to the same table.
 */

import { readMasks, writeMask } from "./painted.js";

/** @typedef {import("./types.d.ts").Point} Point */
/** @typedef {import("./types.d.ts").Box} Box */
/** @typedef {import("./types.d.ts").Prompts} Prompts */
/** @typedef {import("./types.d.ts").Size} Size */

const VERSION = 1;
/** Two decimals are far below what a mask can tell apart. */
const DECIMALS = 100;
const UNITS = ["pixel", "fraction"];
const BOX_KEYS = ["x", "y", "width", "height"];

/** A text that cannot be used; the message names the entry. */
export class PointsError extends Error {}

/** @returns {Prompts} */
export function noPrompts() {
  return { points: [], boxes: [], names: {}, masks: [] };
}

/**
 * The prompts in a text, in pixels of an image of `size`, [width, height], top-left origin.
 *
 * Throws PointsError for what the node would refuse.
 * @param {string} text @param {Size} size @returns {Prompts}
 */
export function parsePoints(text, size) {
  const value = loadJson(text);
  if (value === null || value === "" || isEmpty(value)) return noPrompts();
  if (isObject(value) && !isBox(value) && !("x" in value)) return parseObject(value, size);
  const prompts = parseList(value);
  checkUnit(prompts);
  return fit(prompts, size);
}

/**
 * The text that stands for prompts on an image of `size`; "" for none.
 * @param {Prompts} prompts @param {Size} size @returns {string}
 */
export function serialisePoints(prompts, size) {
  if (isNothing(prompts)) return "";
  const label = (/** @type {Point | Box} */ one) => ({
    label: one.positive ? 1 : 0,
    ...(one.object ? { object: one.object } : {}),
    ...(one.frame === null ? {} : { frame: one.frame }),
  });
  const points = prompts.points.map((point) => ({
    x: Math.min(rounded(point.x), size[0] - 1 / DECIMALS),
    y: Math.min(rounded(point.y), size[1] - 1 / DECIMALS),
    ...label(point),
  }));
  const boxes = prompts.boxes.map((box) => ({
    x: rounded(box.x1),
    y: rounded(box.y1),
    width: rounded(rounded(box.x2) - rounded(box.x1)),
    height: rounded(rounded(box.y2) - rounded(box.y1)),
    ...label(box),
  }));
  const used = new Set([...prompts.points, ...prompts.boxes, ...prompts.masks].map(({ object }) => object));
  const named = Object.entries(prompts.names).filter(([number]) => used.has(Number(number)));
  const names = named.length ? { names: Object.fromEntries(named) } : {};
  const masks = prompts.masks.length ? { masks: prompts.masks.map(writeMask) } : {};
  return JSON.stringify({ version: VERSION, size, points, boxes, ...masks, ...names });
}

/** Whether nothing is drawn. @param {Prompts} prompts */
export function isNothing({ points, boxes, masks }) {
  return !points.length && !boxes.length && !masks.length;
}

/** @param {number} value */
function rounded(value) {
  return Math.round(value * DECIMALS) / DECIMALS;
}

/** @param {string} text @returns {any} */
function loadJson(text) {
  if (!text.trim()) return null;
  try {
    const value = JSON.parse(text);
    // KJNodes sends an empty list as a JSON string within the string.
    return typeof value === "string" && value ? JSON.parse(value) : value;
  } catch (error) {
    // Python reads these names, and then refuses the number.
    if (/\b(NaN|Infinity)\b/.test(text)) throw new PointsError("points: a finite number is expected");
    throw new PointsError(`points: not valid JSON (${/** @type {Error} */ (error).message})`);
  }
}

/** @param {string} name @param {unknown} found @param {string} wanted @returns {never} */
function fail(name, found, wanted) {
  throw new PointsError(`${name}: found ${shown(found).slice(0, 80)}, ${wanted}`);
}

/** A value as JSON; in short where it has too many levels to be written.
 * @param {unknown} value @returns {string} */
function shown(value) {
  try {
    return JSON.stringify(value)?.replaceAll(",", ", ") ?? String(value);
  } catch {
    return `a ${Array.isArray(value) ? "list" : "dict"} that JSON cannot hold`;
  }
}

/** @param {Record<string, any>} value @param {Size} size @returns {Prompts} */
function parseObject(value, size) {
  const name = "points";
  if ((value.version ?? VERSION) !== VERSION) {
    fail(`${name}.version`, value.version, `this pack reads version ${VERSION}`);
  }
  if (!["points", "boxes", "masks", "positive", "negative"].some((key) => key in value)) {
    fail(name, value, "points, boxes, masks, positive or negative are expected");
  }
  const points = pointList(value.points, `${name}.points`);
  for (const key of ["positive", "negative"]) {
    const own = pointList(value[key], `${name}.${key}`);
    points.push(...own.map((point) => ({ ...point, positive: key === "positive" })));
  }
  const boxes = value.boxes || [];
  if (!Array.isArray(boxes)) fail(`${name}.boxes`, boxes, "a list is expected");
  const prompts = {
    points,
    boxes: boxes.map((box, i) => readBox(box, `${name}.boxes[${i}]`)),
    names: readNames(value.names, `${name}.names`),
    masks: readMasks(value.masks, `${name}.masks`, fail),
  };
  const source = sourceSize(value.size, name);
  const unit = value.unit ?? null;
  if (unit !== null && !UNITS.includes(unit)) fail(`${name}.unit`, unit, 'the unit is "pixel" or "fraction"');
  if (unit === "fraction") return fromFractions(prompts, size);
  if (unit === null && !source) checkUnit(prompts);
  return rescale(fit(prompts, source ?? size), source, size);
}

/** @param {any} value @returns {Prompts} */
function parseList(value) {
  const list = isObject(value) || isPair(value) ? [value] : value;
  if (!Array.isArray(list)) fail("points", value, "a list or an object is expected");
  if (list.length && list.every(isNumber)) fail("points", list, "a point has two numbers, x and y");
  const prompts = noPrompts();
  let group = 0;
  for (const [index, entry] of list.entries()) {
    const place = `points[${index}]`;
    const isGroup = Array.isArray(entry) && !isPair(entry) && entry.every((one) => isObject(one) || Array.isArray(one));
    if (isGroup) {
      entry.forEach((one, inner) => addEntry(prompts, one, `${place}[${inner}]`, group));
      group += 1;
    } else {
      addEntry(prompts, entry, place, 0);
    }
  }
  return prompts;
}

/** @param {Prompts} prompts @param {any} value @param {string} name @param {number} number */
function addEntry(prompts, value, name, number) {
  if (isBox(value)) prompts.boxes.push(readBox(value, name, number));
  else prompts.points.push(readPoint(value, name, number));
}

/** @param {any} value @param {string} name @returns {Point[]} */
function pointList(value, name) {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) fail(name, value, "a list of points is expected");
  return value.map((point, index) => readPoint(point, `${name}[${index}]`));
}

/** @param {any} value @param {string} name @param {number} [number] @returns {Point} */
function readPoint(value, name, number = 0) {
  if (Array.isArray(value) && value.length === 2) {
    const [x, y] = value;
    return { x: readNumber(x, `${name}.x`), y: readNumber(y, `${name}.y`), positive: true, object: number, frame: null };
  }
  if (isBox(value)) fail(name, value, "this is a box; boxes go under boxes");
  if (!isObject(value) || !("x" in value && "y" in value)) {
    fail(name, value, "a point is [x, y] or an object with x and y");
  }
  return {
    x: readNumber(value.x, `${name}.x`),
    y: readNumber(value.y, `${name}.y`),
    positive: readLabel(value.label, `${name}.label`),
    object: readObject(value.object ?? number, `${name}.object`),
    frame: readFrame(value.frame, `${name}.frame`),
  };
}

/** @param {any} value @param {string} name @param {number} [number] @returns {Box} */
function readBox(value, name, number = 0) {
  let corners;
  if (Array.isArray(value) && value.length === 4) {
    corners = value.map((entry) => readNumber(entry, name));
  } else {
    if (!isObject(value) || !BOX_KEYS.every((key) => key in value)) {
      fail(name, value, "a box is an object with x, y, width and height");
    }
    const [x, y, width, height] = BOX_KEYS.map((key) => readNumber(value[key], `${name}.${key}`));
    corners = [x, y, x + width, y + height];
  }
  const [x1, y1, x2, y2] = corners;
  if (x2 <= x1 || y2 <= y1) fail(name, value, "a box needs a width and height above 0");
  // A text names the box's content; such a box is around an object.
  const positive = typeof value.label === "string" || readLabel(value.label, `${name}.label`);
  const object = readObject(value.object ?? number, `${name}.object`);
  return { x1, y1, x2, y2, positive, object, frame: readFrame(value.frame, `${name}.frame`) };
}

/** @param {any} value @param {string} name */
function readNumber(value, name) {
  if (!isNumber(value) || !Number.isFinite(value)) fail(name, value, "a finite number is expected");
  return value;
}

/** @param {any} value @param {string} name */
function readLabel(value, name) {
  if (value === undefined || value === null) return true;
  if (value !== 0 && value !== 1) fail(name, value, "the label is 1 (on the object) or 0 (not the object)");
  return value === 1;
}

/** @param {any} value @param {string} name */
function readObject(value, name) {
  return readWhole(value, name, "the object is a whole number from 0");
}

/** @param {any} value @param {string} name @returns {number | null} */
function readFrame(value, name) {
  return value === undefined || value === null ? null : readWhole(value, name, "the frame is a whole number from 0");
}

/** @param {any} value @param {string} name @param {string} wanted @returns {number} */
function readWhole(value, name, wanted) {
  if (!Number.isSafeInteger(value) || value < 0) fail(name, value, wanted);
  return value;
}

/** @param {any} value @param {string} name @returns {Record<number, string>} */
function readNames(value, name) {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) fail(name, value, "names are an object of numbers and texts");
  const names = Object.entries(value).map(([key, text]) => {
    const isNumber = /^(0|[1-9][0-9]{0,15})$/.test(key) && Number.isSafeInteger(Number(key));
    if (!isNumber) fail(name, key, "the object is a whole number from 0");
    if (typeof text !== "string" || !text.trim()) fail(`${name}.${key}`, text, "a name is a text that is not empty");
    return [key, text.trim()];
  });
  return Object.fromEntries(names);
}

/** @param {any} value @param {string} name @returns {Size | null} */
function sourceSize(value, name) {
  if (value === null || value === undefined) return null;
  // No image is smaller, and scaling from next to nothing has no finite result.
  if (!isPair(value) || !value.every((/** @type {number} */ side) => Number.isFinite(side) && side >= 1)) {
    fail(`${name}.size`, value, "the size is [width, height], from 1 pixel");
  }
  return value;
}

/** @param {Prompts} prompts @param {Size | null} source @param {Size} size @returns {Prompts} */
function rescale(prompts, source, size) {
  if (!source) return prompts;
  const [sx, sy] = [size[0] / source[0], size[1] / source[1]];
  return {
    ...prompts,
    points: prompts.points.map((point) => ({ ...point, x: below(point.x * sx, size[0]), y: below(point.y * sy, size[1]) })),
    boxes: prompts.boxes.map((box) => ({
      ...box,
      x1: box.x1 * sx,
      y1: box.y1 * sy,
      x2: Math.min(box.x2 * sx, size[0]),
      y2: Math.min(box.y2 * sy, size[1]),
    })),
  };
}

/** A value that rounding must not carry over the image's edge.
 * @param {number} value @param {number} limit */
function below(value, limit) {
  return Math.min(value, limit * (1 - Number.EPSILON / 2));
}

/** Scales prompts in fractions, 0..1 of the image's sides; refuses what lies outside the image.
 * @param {Prompts} prompts @param {Size} size @returns {Prompts} */
function fromFractions(prompts, size) {
  for (const [index, { x, y }] of prompts.points.entries()) {
    if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1)) {
      const accepted = 'accepted with "unit": "fraction" are numbers from 0 to 1';
      throw new PointsError(`points: point ${index} at (${x}, ${y}) lies outside the image; ${accepted}`);
    }
  }
  const { boxes } = fit({ ...prompts, points: [] }, [1, 1]);
  return rescale({ ...prompts, boxes }, [1, 1], size);
}

/** Refuses prompts that may be pixels or fractions: all numbers are within 0..1, not all whole.
 * @param {Prompts} prompts */
function checkUnit({ points, boxes }) {
  const values = [...points.flatMap(({ x, y }) => [x, y]), ...boxes.flatMap(({ x1, y1, x2, y2 }) => [x1, y1, x2, y2])];
  if (values.every((value) => value >= 0 && value <= 1) && !values.every(Number.isInteger)) {
    throw new PointsError(
      "points: found only numbers within 0..1, which may be fractions of the image or pixels. " +
        'Accepted: {"unit": "fraction", "points": [[0.5, 0.5]]} for fractions, ' +
        '{"unit": "pixel", "points": [[0.5, 0.5]]} for pixels.',
    );
  }
}

/** Refuses points outside an image and cuts boxes off at its edge.
 * @param {Prompts} prompts @param {Size} size @returns {Prompts} */
function fit(prompts, size) {
  const [width, height] = size;
  const outside = `lies outside the image, which is ${width} wide and ${height} high`;
  for (const [index, { x, y }] of prompts.points.entries()) {
    if (!(x >= 0 && x < width && y >= 0 && y < height)) {
      throw new PointsError(`points: point ${index} at (${x}, ${y}) ${outside}`);
    }
  }
  const boxes = prompts.boxes.map((box, index) => {
    if (box.x1 >= width || box.y1 >= height || box.x2 <= 0 || box.y2 <= 0) {
      const corners = `from (${box.x1}, ${box.y1}) to (${box.x2}, ${box.y2})`;
      throw new PointsError(`points: box ${index} ${corners} ${outside}`);
    }
    return {
      ...box,
      x1: Math.max(box.x1, 0),
      y1: Math.max(box.y1, 0),
      x2: Math.min(box.x2, width),
      y2: Math.min(box.y2, height),
    };
  });
  return { ...prompts, boxes };
}

/** @param {any} value */
function isNumber(value) {
  return typeof value === "number";
}

/** @param {any} value */
function isPair(value) {
  return Array.isArray(value) && value.length === 2 && value.every(isNumber);
}

/** @param {any} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {any} value */
function isBox(value) {
  return isObject(value) && ("width" in value || "height" in value);
}

/** @param {any} value */
function isEmpty(value) {
  return typeof value === "object" && Object.keys(value).length === 0;
}
