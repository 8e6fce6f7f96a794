// @ts-check
/** A model of a saved graph as the node's list has it now, where the mark of a download comes and goes
 * with the file. Without this the list would show a value that it does not have. */

import { chain } from "./comfy_editor.js";
import { widgetOf } from "./comfy_text.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */

/** The list of models that a node has. @type {Readonly<Record<string, string>>} */
const LISTS = {
  SegmentAnywhereLoadSAM: "model",
  SegmentAnywhereText: "detector",
  SegmentAnywhereTrack: "detector",
  SegmentAnywhereMaskRefine: "matting_model",
};
const MARK = / \(download, [^()]*\)$/;

/** @param {ComfyNode} node as it is made, before a saved graph gives it its values */
export function followDownloads(node) {
  const name = LISTS[node.comfyClass ?? ""];
  if (name) chain(node, "onConfigure", () => relist(node, name));
}

/** @param {ComfyNode} node @param {string} name */
function relist(node, name) {
  const widget = widgetOf(node, name);
  const listed = widget?.options.values;
  if (!widget || !Array.isArray(listed) || listed.includes(widget.value)) return;
  const plain = withoutMark(widget.value);
  const same = listed.find((each) => withoutMark(each) === plain);
  if (same !== undefined) widget.value = same;
}

/** @param {unknown} choice */
function withoutMark(choice) {
  return String(choice).replace(MARK, "");
}
