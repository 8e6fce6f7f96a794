// @ts-check
/** Decides which image a node's editor shows: that of its last run, or the one before it. */

import { isLoader, originOf, outputOf, pictureBefore } from "./comfy_graph.js";
import { fileName, fileUrl, shownFile } from "./comfy_pictures.js";
import { PLACES } from "./comfy_places.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */
/** @typedef {import("./types.d.ts").RunState} RunState */
/** @typedef {import("./types.d.ts").Source} Source */

/** What stood before a node when it ran. @typedef {{ picture: string, model: string }} Before */

/**
 * By the key of a run; a run that began in an earlier session is taken for current.
 * @type {Map<string, Before>}
 */
const runs = new Map();

/** Notes what stands before a node that has just run. @param {any} app @param {ComfyNode} node */
export function noteRun(app, node) {
  const run = runOf(app, node);
  if (run) runs.set(run.key, before(app, node));
}

/** @param {any} app @param {ComfyNode} node @returns {RunState | undefined} */
export function runOf(app, node) {
  return outputOf(app, node)?.segment_anywhere?.[0];
}

/** What the last run of a node says of itself; "" where it had only points to go by, and none.
 * @param {any} app @param {ComfyNode} node */
export function noteOf(app, node) {
  const hasMore = !placeOf(node)?.isPointsOnly;
  return runOf(app, node)?.points || hasMore ? String(outputOf(app, node)?.text?.[0] ?? "") : "";
}

/** Whether the model takes boxes for what is not wanted, as far as a run has told.
 * @param {any} app @param {ComfyNode} node */
export function takesNegativeBoxes(app, node) {
  const run = runOf(app, node);
  const then = run && runs.get(run.key);
  const isSameModel = !then || then.model === before(app, node).model;
  return !run || !isSameModel || run.negative_boxes;
}

/** @param {any} app @param {any} api @param {ComfyNode} node @returns {Source[]} best first */
export function sourcesOf(app, api, node) {
  const run = runOf(app, node);
  const now = before(app, node);
  const then = (run && runs.get(run.key)) ?? now;
  const sources = [];
  if (run && then.picture === now.picture) sources.push(ofRun(api, run, then.model === now.model, noteOf(app, node)));
  const found = pictureOf(app, node);
  if (found) {
    sources.push({
      url: found.node.imgs?.[0]?.src ? pictureUrl(found.node) : fileUrl(api, /** @type {any} */ (shownFile(app, found.node))),
      size: null,
      key: "",
      mask: null,
      note: "",
      rough: "",
      isExact: found.hops === 0 && isLoader(found.node),
      hasRun: false,
      frame: 0,
      clip: null,
    });
  }
  return sources;
}

/**
 * @param {any} api @param {RunState} run @param {boolean} isSameModel @param {string} note
 * @returns {Source}
 */
export function ofRun(api, run, isSameModel, note) {
  return {
    url: fileUrl(api, run.image),
    size: run.size,
    key: isSameModel ? run.key : "",
    mask: isSameModel ? { url: fileUrl(api, run.mask), text: run.points } : null,
    note,
    rough: run.rough,
    isExact: true,
    hasRun: isSameModel,
    frame: 0,
    clip: run.frames.length ? clipOf(api, run, isSameModel) : null,
  };
}

/** @param {any} api @param {RunState} run @param {boolean} isSameModel
 * @returns {import("./types.d.ts").Clip} */
function clipOf(api, run, isSameModel) {
  const frames = run.frames.map(({ index, key, image, mask }) => ({
    index,
    url: fileUrl(api, image),
    key: isSameModel ? key : "",
    mask: fileUrl(api, mask),
  }));
  return { count: run.count, frames };
}

/** @param {ComfyNode} node */
function placeOf(node) {
  return PLACES[node.comfyClass ?? ""];
}

/** @param {any} app @param {ComfyNode} node */
function pictureOf(app, node) {
  return pictureBefore(app, node, placeOf(node)?.image ?? "");
}

/** @param {any} app @param {ComfyNode} node @returns {Before} */
function before(app, node) {
  const found = pictureOf(app, node);
  const model = originOf(app, node, "model");
  const values = model?.widgets?.map((widget) => widget.value) ?? [];
  return {
    picture: found ? pictureKey(app, found.node) : "",
    model: model ? JSON.stringify([model.id, values]) : "",
  };
}

/** What tells a loader's picture from others, wherever the frontend has it.
 * @param {any} app @param {ComfyNode} node */
function pictureKey(app, node) {
  const file = shownFile(app, node);
  return file ? fileName(file) : pictureUrl(node);
}

/** The address of a loader's picture without what changes by itself. @param {ComfyNode} node */
function pictureUrl(node) {
  const url = new URL(/** @type {HTMLImageElement[]} */ (node.imgs)[0].src, location.href);
  for (const name of ["rand", "t"]) url.searchParams.delete(name);
  return url.href;
}
