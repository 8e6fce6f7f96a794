// @ts-check
/** Draws the image, the mask and the prompts, and tells what lies under a pointer. */

import { objectNumbers } from "./edits.js";
import { cellsOf } from "./painted.js";
import { scaleOf, toArea } from "./view.js";

/** @typedef {import("./types.d.ts").Box} Box */
/** @typedef {import("./types.d.ts").Corner} Corner */
/** @typedef {import("./types.d.ts").EditorOptions} EditorOptions */
/** @typedef {import("./types.d.ts").Frame} Frame */
/** @typedef {import("./types.d.ts").Hit} Hit */
/** @typedef {import("./types.d.ts").Painted} Painted */
/** @typedef {import("./types.d.ts").Point} Point */
/** @typedef {import("./types.d.ts").Prompts} Prompts */
/** @typedef {import("./types.d.ts").Ref} Ref */
/** @typedef {import("./types.d.ts").XY} XY */

/**
 * @typedef {object} Scene
 * @property {Frame} frame
 * @property {CanvasImageSource | null} picture
 * @property {MaskLayers | null} mask
 * @property {Prompts} prompts
 * @property {(item: Point | Box | Painted) => boolean} isShown whether it is on this frame; others are faint
 * @property {Ref | null} selected
 * @property {Box | null} draft a box that is being drawn
 * @property {Ring | null} ring around what the brush would paint
 * @property {EditorOptions} options
 */

/** @typedef {XY & { radius: number }} Ring in CSS pixels of the area */

/**
 * @typedef {object} MaskLayers
 * @property {CanvasImageSource} fill
 * @property {CanvasImageSource} outline
 */

/** The colours of core/pictures/render.py, so that editor, mask and overlay agree. */
const PALETTE = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2"];
const POSITIVE = "#1f8f4d";
const NEGATIVE = "#c62828";
const CASING = "rgba(0, 0, 0, 0.75)";
const LIGHT = "#ffffff";
/** From this many CSS pixels per image pixel on, pixels are shown as squares. */
const SQUARE_PIXELS = 6;
const HANDLE = 7;
/** How much is seen of a prompt on another frame. */
const ELSEWHERE = 0.25;
/** How opaque a painted mask is, 0..255, in stripes so many cells apart. */
const PAINTED = { strong: 190, weak: 90 };
const STRIPE = 8;
/** Painted masks as pictures, until they are painted on. @type {WeakMap<Painted, OffscreenCanvas>} */
const paintedLayers = new WeakMap();
/** How near a pointer must come to an edge of a box, in CSS pixels. */
const EDGE_REACH = 6;
/** @type {Corner[]} */
const CORNERS = [
  { x: "x1", y: "y1" },
  { x: "x2", y: "y1" },
  { x: "x1", y: "y2" },
  { x: "x2", y: "y2" },
];

/** @param {number} object */
export function colourOf(object) {
  return PALETTE[object % PALETTE.length];
}

/** @param {CanvasRenderingContext2D} ctx @param {Scene} scene @param {number} ratio device pixels */
export function draw(ctx, scene, ratio) {
  const { frame, prompts, options } = scene;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, frame.area[0], frame.area[1]);
  const scale = scaleOf(frame);
  const corner = toArea(frame, { x: 0, y: 0 });
  const place = /** @type {const} */ ([corner.x, corner.y, frame.image[0] * scale, frame.image[1] * scale]);
  ctx.imageSmoothingEnabled = scale * ratio < SQUARE_PIXELS;
  ctx.imageSmoothingQuality = "high";
  if (scene.picture) ctx.drawImage(scene.picture, ...place);
  if (scene.mask) {
    ctx.globalAlpha = options.opacity;
    ctx.drawImage(scene.mask.fill, ...place);
    ctx.globalAlpha = Math.min(1, options.opacity * 2);
    ctx.drawImage(scene.mask.outline, ...place);
    ctx.globalAlpha = 1;
  }
  drawPainted(ctx, scene, place);
  const isNumbered = objectNumbers(prompts).length > 1 || Object.keys(prompts.names).length > 0;
  for (const [index, box] of prompts.boxes.entries()) {
    ctx.globalAlpha = scene.isShown(box) ? 1 : ELSEWHERE;
    drawBox(ctx, scene, box, isSelected(scene, "box", index), isNumbered);
  }
  ctx.globalAlpha = 1;
  if (scene.draft) drawBox(ctx, scene, scene.draft, false, false);
  for (const [index, point] of prompts.points.entries()) {
    ctx.globalAlpha = scene.isShown(point) ? 1 : ELSEWHERE;
    drawPoint(ctx, scene, point, isSelected(scene, "point", index), isNumbered);
  }
  ctx.globalAlpha = 1;
  if (scene.ring) ring(ctx, scene.ring.x, scene.ring.y, scene.ring.radius);
}

/**
 * The item under a place of the area: points before corners before edges, the last drawn first.
 * @param {Frame} frame @param {Prompts} prompts @param {Ref[]} candidates of them that can be hit
 * @param {XY} at @param {EditorOptions} options @param {Ref | null} selected its corners can be taken
 * @returns {Hit | null}
 */
export function hitTest(frame, prompts, candidates, at, options, selected) {
  const reach = Math.max(options.pointSize / 2 + 2, EDGE_REACH);
  const items = [...candidates].reverse();
  const points = items.filter((ref) => ref.kind === "point");
  for (const ref of points) {
    const { x, y } = toArea(frame, prompts.points[ref.index]);
    if (Math.hypot(at.x - x, at.y - y) <= reach) return ref;
  }
  const boxes = items.filter((ref) => ref.kind === "box");
  const chosen = boxes.find((ref) => selected?.kind === "box" && selected.index === ref.index);
  for (const ref of chosen ? [chosen, ...boxes] : boxes) {
    const box = prompts.boxes[ref.index];
    const corner = CORNERS.find((each) => {
      const { x, y } = toArea(frame, { x: box[each.x], y: box[each.y] });
      return Math.abs(at.x - x) <= EDGE_REACH && Math.abs(at.y - y) <= EDGE_REACH;
    });
    if (corner) return { ...ref, corner };
    if (isOnEdge(frame, box, at)) return ref;
  }
  return null;
}

/** @param {Frame} frame @param {Box} box @param {XY} at */
function isOnEdge(frame, box, at) {
  const low = toArea(frame, { x: box.x1, y: box.y1 });
  const high = toArea(frame, { x: box.x2, y: box.y2 });
  const depth = Math.min(at.x - low.x, high.x - at.x, at.y - low.y, high.y - at.y);
  return Math.abs(depth) <= EDGE_REACH;
}

/** @param {Scene} scene @param {"point" | "box"} kind @param {number} index */
function isSelected({ selected }, kind, index) {
  return selected !== null && selected.kind === kind && selected.index === index;
}

/**
 * The painted masks in the colours of their objects, striped, so that they are told from the result.
 * @param {CanvasRenderingContext2D} ctx @param {Scene} scene
 * @param {readonly [number, number, number, number]} place of the image
 */
function drawPainted(ctx, { prompts, isShown }, place) {
  ctx.imageSmoothingEnabled = false;
  for (const mask of prompts.masks) {
    ctx.globalAlpha = isShown(mask) ? 1 : ELSEWHERE;
    ctx.drawImage(paintedLayer(mask), ...place);
  }
  ctx.globalAlpha = 1;
}

/** @param {Painted} mask */
function paintedLayer(mask) {
  const made = paintedLayers.get(mask);
  if (made) return made;
  const [rows, columns] = mask.size;
  const layer = new OffscreenCanvas(columns, rows);
  const ctx = /** @type {OffscreenCanvasRenderingContext2D} */ (layer.getContext("2d"));
  const picture = ctx.createImageData(columns, rows);
  const colour = Number.parseInt(colourOf(mask.object).slice(1), 16);
  for (const [index, cell] of cellsOf(mask).entries()) {
    if (!cell) continue;
    const [column, row] = [Math.floor(index / rows), index % rows];
    const alpha = (column + row) % STRIPE < STRIPE / 2 ? PAINTED.strong : PAINTED.weak;
    picture.data.set([colour >> 16, (colour >> 8) & 255, colour & 255, alpha], 4 * (row * columns + column));
  }
  ctx.putImageData(picture, 0, 0);
  paintedLayers.set(mask, layer);
  return layer;
}

/**
 * A disc with a sign in it: green with plus, red with minus, ringed in the object's colour.
 * @param {CanvasRenderingContext2D} ctx @param {Scene} scene @param {Point} point
 * @param {boolean} isChosen @param {boolean} isNumbered
 */
function drawPoint(ctx, { frame, options, prompts }, point, isChosen, isNumbered) {
  const { x, y } = toArea(frame, point);
  const radius = options.pointSize / 2;
  disc(ctx, x, y, radius + 1.5, CASING);
  disc(ctx, x, y, radius + 0.5, isNumbered ? colourOf(point.object) : LIGHT);
  disc(ctx, x, y, radius - 1.5, point.positive ? POSITIVE : NEGATIVE);
  sign(ctx, x, y, radius * 0.5, point.positive);
  if (isChosen) ring(ctx, x, y, radius + 4.5);
  if (isNumbered) tag(ctx, x + radius + 2, y - radius - 2, calledOn(prompts, point), colourOf(point.object));
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {Scene} scene @param {Box} box
 * @param {boolean} isChosen @param {boolean} isNumbered
 */
function drawBox(ctx, { frame, prompts }, box, isChosen, isNumbered) {
  const low = toArea(frame, { x: box.x1, y: box.y1 });
  const high = toArea(frame, { x: box.x2, y: box.y2 });
  const place = /** @type {const} */ ([low.x, low.y, high.x - low.x, high.y - low.y]);
  const colour = box.positive ? colourOf(box.object) : NEGATIVE;
  ctx.setLineDash([]);
  ctx.lineWidth = isChosen ? 5 : 4;
  ctx.strokeStyle = CASING;
  ctx.strokeRect(...place);
  ctx.setLineDash(box.positive ? [] : [6, 5]);
  ctx.lineWidth = isChosen ? 3 : 2;
  ctx.strokeStyle = colour;
  ctx.strokeRect(...place);
  ctx.setLineDash([]);
  if (!box.positive) {
    disc(ctx, low.x, low.y, 8, NEGATIVE);
    sign(ctx, low.x, low.y, 4, false);
  }
  if (isChosen) {
    for (const corner of CORNERS) {
      const { x, y } = toArea(frame, { x: box[corner.x], y: box[corner.y] });
      ctx.fillStyle = CASING;
      ctx.fillRect(x - HANDLE / 2 - 1, y - HANDLE / 2 - 1, HANDLE + 2, HANDLE + 2);
      ctx.fillStyle = LIGHT;
      ctx.fillRect(x - HANDLE / 2, y - HANDLE / 2, HANDLE, HANDLE);
    }
  }
  if (isNumbered) tag(ctx, low.x + 4, low.y + 14, calledOn(prompts, box), colour);
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} radius
 * @param {string} colour
 */
function disc(ctx, x, y, radius, colour) {
  ctx.beginPath();
  ctx.arc(x, y, Math.max(radius, 1), 0, 2 * Math.PI);
  ctx.fillStyle = colour;
  ctx.fill();
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} radius
 */
function ring(ctx, x, y, radius) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  for (const [width, colour] of /** @type {const} */ ([[4, CASING], [2, LIGHT]])) {
    ctx.lineWidth = width;
    ctx.strokeStyle = colour;
    ctx.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} arm
 * @param {boolean} isPlus
 */
function sign(ctx, x, y, arm, isPlus) {
  ctx.beginPath();
  ctx.moveTo(x - arm, y);
  ctx.lineTo(x + arm, y);
  if (isPlus) {
    ctx.moveTo(x, y - arm);
    ctx.lineTo(x, y + arm);
  }
  ctx.lineWidth = Math.max(1.5, arm * 0.45);
  ctx.strokeStyle = LIGHT;
  ctx.stroke();
}

/** What the object of an item is called. @param {Prompts} prompts @param {Point | Box} item */
function calledOn({ names }, { object }) {
  return names[object] ?? `${object + 1}`;
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {string} text
 * @param {string} colour
 */
function tag(ctx, x, y, text, colour) {
  ctx.font = "bold 12px sans-serif";
  ctx.textBaseline = "middle";
  ctx.lineWidth = 3;
  ctx.strokeStyle = CASING;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

/** A mask picture with its outline, two pixels of its own size wide. @param {ImageBitmap} mask */
export function maskLayers(mask) {
  const outline = new OffscreenCanvas(mask.width, mask.height);
  const ctx = /** @type {OffscreenCanvasRenderingContext2D} */ (outline.getContext("2d"));
  const reach = Math.max(1, Math.round(Math.max(mask.width, mask.height) / 400));
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    ctx.drawImage(mask, dx * reach, dy * reach);
  }
  ctx.globalCompositeOperation = "destination-out";
  ctx.drawImage(mask, 0, 0);
  return { fill: mask, outline };
}
