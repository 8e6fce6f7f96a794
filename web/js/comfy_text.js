// @ts-check
/** The text of a node that its editor edits, wherever the node has it at the moment. */

import { isLinked } from "./comfy_graph.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */
/** @typedef {import("./types.d.ts").ComfyWidget} ComfyWidget */

/** Where a node keeps the text while it has no widget for it; saved with the workflow. */
const KEPT = "segment_anywhere_points";

export class PointsText {
  /** @type {ComfyWidget | undefined} */
  #widget;
  #last = "";

  /** @param {ComfyNode} node @param {string} name of the widget */
  constructor(node, name) {
    this.node = node;
    this.name = name;
    this.adopt();
  }

  get isThere() {
    return this.#widget !== undefined;
  }

  get isLinked() {
    return isLinked(this.node, this.name);
  }

  get value() {
    if (this.#widget) this.#last = String(this.#widget.value ?? "");
    return this.#last;
  }

  /** Takes the text as the node has it, from a saved workflow say. */
  adopt() {
    this.#widget = widgetOf(this.node, this.name);
    this.#last = this.#widget ? this.value : (this.node.properties?.[KEPT] ?? "");
  }

  /**
   * Looks whether the widget is another one. The frontend makes it anew, and may fill it with an
   * older text, when the node's other input is changed; what was edited last goes on.
   */
  follow() {
    const widget = widgetOf(this.node, this.name);
    if (widget === this.#widget) return;
    this.#widget = widget;
    const properties = (this.node.properties ??= {});
    if (widget) {
      if (widget.value !== this.#last) widget.value = this.#last;
      delete properties[KEPT];
    } else if (this.#last) {
      properties[KEPT] = this.#last;
    }
  }

  /** @param {string} text */
  write(text) {
    if (!this.#widget) return;
    this.#last = text;
    this.#widget.value = text;
    this.#widget.callback?.(text);
  }

  /** A linked text is always shown, for the link ends there. @param {boolean} isShown */
  show(isShown) {
    if (this.#widget) setHidden(this.node, this.#widget, !isShown && !this.isLinked);
  }
}

/** @param {ComfyNode} node @param {string} name @returns {ComfyWidget | undefined} */
export function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/** @param {ComfyNode} node @param {ComfyWidget} widget @param {boolean} isHidden
 * @returns {boolean} whether it was otherwise before */
export function setHidden(node, widget, isHidden) {
  if (Boolean(widget.hidden) === isHidden && Boolean(widget.options.hidden) === isHidden) return false;
  widget.hidden = isHidden;
  widget.options.hidden = isHidden;
  relist(node);
  node.setDirtyCanvas?.(true, true);
  return true;
}

/** Nodes 2.0 looks at a widget's options only where the list of widgets changes.
 * @param {ComfyNode} node */
function relist(node) {
  const all = [...(node.widgets ?? [])];
  if (!node.graph) return;
  node.widgets = [];
  node.widgets = all;
}
