// @ts-check
/** What a node's model is, as far as the graph tells before a run. */

import { originOf } from "./comfy_graph.js";
import { widgetOf } from "./comfy_text.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */

/** What Load SAM calls the engine that needs no file; see core/engines/families.py. */
export const BUILT_IN = "grabcut (built in)";

/**
 * Whether a run for the mask takes a moment: the engine is built in, and the picture is one that a
 * node has loaded, so that nothing has to be downloaded, made or changed before.
 * @param {any} app @param {ComfyNode} node @param {import("./types.d.ts").Source | null} source
 */
export function isQuick(app, node, source) {
  const loader = originOf(app, node, "model");
  const isBuiltIn = loader !== null && widgetOf(loader, "model")?.value === BUILT_IN;
  return isBuiltIn && source !== null && source.isExact && source.clip === null;
}
