// @ts-check
/** Widths of fresh nodes where the frontend's own cuts what they show; saved ones keep theirs. */

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */

/** @type {Readonly<Record<string, number>>} */
const WIDTHS = {
  // Names of files, with what they take to download.
  SegmentAnywhereLoadSAM: 440,
};

/** @param {ComfyNode} node as it is made, before a saved graph gives it its size */
export function widen(node) {
  const width = WIDTHS[node.comfyClass ?? ""];
  if (width) node.setSize([width, node.size[1]]);
}
