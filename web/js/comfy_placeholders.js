// @ts-check
/** Fills in %date:yyyy-MM-dd%, %LoadImage.image% and their like, as the frontend does for the Save
 * nodes that it knows. */

import { widgetOf } from "./comfy_text.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */

const SAVE = "SegmentAnywhereSave";
const WIDGETS = ["filename_prefix", "image_name"];

/** What is sent to the server has them filled in; the widget keeps them.
 * @param {ComfyNode} node @param {(text: string) => string} filled */
export function fillPlaceholders(node, filled) {
  if ((node.comfyClass ?? node.type) !== SAVE) return;
  for (const name of WIDGETS) {
    const widget = widgetOf(node, name);
    if (widget) widget.serializeValue = () => filled(String(widget.value ?? ""));
  }
}
