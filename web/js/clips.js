// @ts-check
/**
 * Prompts and pictures over the frames of a clip. Pure.
 *
 * What a prompt without a frame is on depends on the node: on every frame, or on the first.
 */

import { allItems, itemOf } from "./edits.js";

/** @typedef {import("./types.d.ts").Box} Box */
/** @typedef {import("./types.d.ts").Clip} Clip */
/** @typedef {import("./types.d.ts").Point} Point */
/** @typedef {import("./types.d.ts").Prompts} Prompts */
/** @typedef {import("./types.d.ts").Ref} Ref */
/** @typedef {import("./types.d.ts").Source} Source */
/** @typedef {import("./types.d.ts").Unframed} Unframed */

/** @param {{ frame: number | null }} item @param {number} frame @param {Unframed} unframed */
export function isOn(item, frame, unframed) {
  if (item.frame === null) return unframed === "every" || frame === 0;
  return item.frame === frame;
}

/** The prompts for one frame. @param {Prompts} prompts @param {number} frame
 * @param {Unframed} unframed @returns {Prompts} */
export function onFrame(prompts, frame, unframed) {
  return {
    ...prompts,
    points: prompts.points.filter((point) => isOn(point, frame, unframed)),
    boxes: prompts.boxes.filter((box) => isOn(box, frame, unframed)),
    masks: prompts.masks.filter((mask) => isOn(mask, frame, unframed)),
  };
}

/** Where they stand among all prompts, boxes after points. @param {Prompts} prompts
 * @param {number} frame @param {Unframed} unframed @returns {Ref[]} */
export function itemsOn(prompts, frame, unframed) {
  return allItems(prompts).filter((ref) => {
    const item = itemOf(prompts, ref);
    return item && isOn(item, frame, unframed);
  });
}

/** The frames with prompts of their own, ascending. @param {Prompts} prompts
 * @param {Unframed} unframed */
export function keyFrames(prompts, unframed) {
  const frames = new Set();
  for (const { frame } of [...prompts.points, ...prompts.boxes, ...prompts.masks]) {
    if (frame !== null) frames.add(frame);
    else if (unframed === "first") frames.add(0);
  }
  return [...frames].sort((a, b) => a - b);
}

/** Whether two sets of prompts ask the same of a frame. @param {Prompts} one @param {Prompts} other
 * @param {number} frame @param {Unframed} unframed */
export function isSameOn(one, other, frame, unframed) {
  const asked = (/** @type {Prompts} */ prompts) => JSON.stringify({ ...onFrame(prompts, frame, unframed), names: {} });
  return asked(one) === asked(other);
}

/** The place in a clip's list of the frame that is shown for another: the last one up to it.
 * @param {Clip} clip @param {number} frame */
export function positionOf({ frames }, frame) {
  const after = frames.findIndex(({ index }) => index > frame);
  return after < 0 ? frames.length - 1 : Math.max(after - 1, 0);
}

/** A source as it shows a frame of its clip. @param {Source} source @param {number} frame
 * @returns {Source} */
export function atFrame(source, frame) {
  const { clip } = source;
  if (!clip) return source;
  const shown = clip.frames[positionOf(clip, frame)];
  // The first frame's own picture is larger.
  if (shown.index === 0) return source;
  const { index, url, key, mask } = shown;
  return { ...source, frame: index, url, key, mask: source.mask && { ...source.mask, url: mask } };
}
