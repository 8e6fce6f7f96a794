// @ts-check
/** Adds our nodes to a graph, where there is room. */

import { widgetOf } from "./comfy_text.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */

export const LOADER = "SegmentAnywhereLoadSAM";
export const POINT = "SegmentAnywherePoint";
const GAP = 60;

/** @param {string} type @returns {ComfyNode | null} */
export function createNode(type) {
  return /** @type {any} */ (window).LiteGraph.createNode(type);
}

/** The Load SAM of a graph, null where it has none. @param {any} graph @returns {ComfyNode | null} */
export function loaderOf(graph) {
  return graph.nodes.find((/** @type {ComfyNode} */ node) => node.comfyClass === LOADER && !node.mode) ?? null;
}

/**
 * Adds a Point Segment for the picture of a node, with a Load SAM where the graph has none.
 * @param {ComfyNode} node beside which there is to be room
 * @param {{ node: ComfyNode, slot: number }} image the output that gives the picture
 * @param {string} points the text of its prompts @returns {ComfyNode | null}
 */
export function addPointSegment(node, image, points) {
  const { graph } = node;
  const segment = createNode(POINT);
  const loader = loaderOf(graph) ?? add(graph, createNode(LOADER), node, [0, 1]);
  if (!segment || !loader) return null;
  add(graph, segment, node, [1, 0]);
  image.node.connect(image.slot, segment, "image");
  loader.connect(0, segment, "model");
  const text = widgetOf(segment, "points");
  if (text) text.value = points;
  text?.callback?.(points);
  return segment;
}

/** @param {any} graph @param {ComfyNode | null} node @param {ComfyNode} beside
 * @param {[number, number]} way to the right or below, as far as the others reach */
function add(graph, node, beside, [right, below]) {
  if (!node) return null;
  node.pos = [beside.pos[0] + right * (beside.size[0] + GAP), beside.pos[1] + below * (beside.size[1] + GAP)];
  const others = [...graph.nodes];
  let blocker;
  while ((blocker = others.find((other) => overlap(node, other)))) {
    if (right) node.pos = [blocker.pos[0] + blocker.size[0] + GAP, node.pos[1]];
    else node.pos = [node.pos[0], blocker.pos[1] + blocker.size[1] + GAP];
  }
  graph.add(node);
  return node;
}

/** @param {ComfyNode} one @param {ComfyNode} other */
function overlap(one, other) {
  return [0, 1].every((axis) => one.pos[axis] < other.pos[axis] + other.size[axis] && other.pos[axis] < one.pos[axis] + one.size[axis]);
}
