// @ts-check
/** Fills a node's plain widgets with the values of a preset that is chosen on it. */

import { chain } from "./comfy_editor.js";
import { widgetOf } from "./comfy_text.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */
/** @typedef {import("./types.d.ts").PresetFacts} PresetFacts */

/** By the node's type. @type {Map<string, PresetFacts>} */
const known = new Map();

/** Keeps what a node's definition says of its presets. @param {any} definition */
export function notePresets(definition) {
  const { required, optional } = definition.input ?? {};
  for (const [input, entry] of Object.entries({ ...required, ...optional })) {
    // Other packs' definitions come by here, too.
    const spec = entry?.[1];
    const presets = spec?.segment_anywhere?.presets;
    if (presets) known.set(definition.name, { input, presets, none: spec.default });
  }
}

/** Follows what is chosen on a node, and what is changed after that. @param {ComfyNode} node */
export function followPresets(node) {
  const facts = known.get(node.comfyClass ?? node.type);
  const choice = facts && widgetOf(node, facts.input);
  if (!choice) return;
  let isFilling = false;
  chain(choice, "callback", () => {
    isFilling = true;
    fill(node, facts.presets[choice.value] ?? {});
    isFilling = false;
  });
  for (const name of new Set(Object.values(facts.presets).flatMap(Object.keys))) {
    const widget = widgetOf(node, name);
    if (!widget) continue;
    chain(widget, "callback", () => {
      const preset = facts.presets[choice.value];
      if (!isFilling && preset && widget.value !== preset[name]) choice.value = facts.none;
    });
  }
}

/** @param {ComfyNode} node @param {Record<string, unknown>} values */
function fill(node, values) {
  for (const [name, value] of Object.entries(values)) {
    const widget = widgetOf(node, name);
    if (!widget || widget.value === value) continue;
    widget.value = value;
    widget.callback?.(value);
  }
  node.setDirtyCanvas?.(true, true);
}
