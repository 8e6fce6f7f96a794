// @ts-check
/**
 * The view of an image in an area: which part of it is shown, and how large. Pure.
 *
 * `zoom` is 1 where the whole image fits; `x`, `y` is the image pixel in the middle of the area.
 * Area coordinates are CSS pixels from the area's top-left corner.
 */

import { clamp } from "./edits.js";

/** @typedef {import("./types.d.ts").Size} Size */
/** @typedef {import("./types.d.ts").View} View */
/** @typedef {import("./types.d.ts").Frame} Frame */
/** @typedef {import("./types.d.ts").XY} XY */

export const MAX_ZOOM = 32;

/** @param {Size} image @returns {View} */
export function fitView(image) {
  return { zoom: 1, x: image[0] / 2, y: image[1] / 2 };
}

/** CSS pixels per image pixel. @param {Frame} frame */
export function scaleOf({ view, image, area }) {
  return Math.min(area[0] / image[0], area[1] / image[1]) * view.zoom;
}

/** @param {Frame} frame @param {XY} point @returns {XY} */
export function toArea(frame, { x, y }) {
  const scale = scaleOf(frame);
  return {
    x: (x - frame.view.x) * scale + frame.area[0] / 2,
    y: (y - frame.view.y) * scale + frame.area[1] / 2,
  };
}

/** @param {Frame} frame @param {XY} point @returns {XY} */
export function toImage(frame, { x, y }) {
  const scale = scaleOf(frame);
  return {
    x: (x - frame.area[0] / 2) / scale + frame.view.x,
    y: (y - frame.area[1] / 2) / scale + frame.view.y,
  };
}

/**
 * Zooms so that the image pixel under `at` stays there.
 * @param {Frame} frame @param {XY} at @param {number} factor @returns {View}
 */
export function zoomAt(frame, at, factor) {
  const zoom = clamp(frame.view.zoom * factor, 1, MAX_ZOOM);
  const held = toImage(frame, at);
  const ratio = frame.view.zoom / zoom;
  const view = {
    zoom,
    x: held.x + (frame.view.x - held.x) * ratio,
    y: held.y + (frame.view.y - held.y) * ratio,
  };
  return within({ ...frame, view });
}

/** @param {Frame} frame @param {number} dx @param {number} dy in CSS pixels @returns {View} */
export function panBy(frame, dx, dy) {
  const scale = scaleOf(frame);
  const { zoom, x, y } = frame.view;
  return within({ ...frame, view: { zoom, x: x - dx / scale, y: y - dy / scale } });
}

/** The view moved so that no empty border shows that the image could fill. @param {Frame} frame */
export function within(frame) {
  const scale = scaleOf(frame);
  const { view, image, area } = frame;
  const side = (/** @type {number} */ centre, /** @type {number} */ index) => {
    const half = area[index] / scale / 2;
    return half * 2 >= image[index] ? image[index] / 2 : clamp(centre, half, image[index] - half);
  };
  return { zoom: view.zoom, x: side(view.x, 0), y: side(view.y, 1) };
}
