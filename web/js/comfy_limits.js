// @ts-check
/** What the model or the provider of a node takes of what can be drawn in its editor. */

import { isLinked } from "./comfy_graph.js";
import { takesNegativeBoxes } from "./comfy_sources.js";
import { widgetOf } from "./comfy_text.js";
import { DRAWN, EXAMPLES, NO_LIMITS } from "./limits.js";

/** @typedef {import("./comfy_places.js").Place} Place */
/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */
/** @typedef {import("./types.d.ts").Drawn} Drawn */
/** @typedef {import("./types.d.ts").EditorFacts} EditorFacts */
/** @typedef {import("./types.d.ts").Limits} Limits */
/** @typedef {import("./types.d.ts").VariantFacts} VariantFacts */

/** By the node's type, then by provider. @type {Map<string, Record<string, EditorFacts>>} */
const known = new Map();

/** Keeps what a node's definition says of its providers. @param {Place} place @param {any} definition */
export function noteDefinition(place, definition) {
  if (!place.chooser) return;
  const { required, optional } = definition.input ?? {};
  const [, spec] = { ...optional, ...required }[place.chooser] ?? [];
  const name = place.points.slice(place.chooser.length + 1);
  /** @type {Record<string, EditorFacts>} */
  const all = {};
  for (const { key, inputs } of spec?.options ?? []) {
    const facts = { ...inputs.optional, ...inputs.required }[name]?.[1]?.segment_anywhere;
    if (facts) all[key] = facts;
  }
  known.set(definition.name, all);
}

/** @param {any} app @param {ComfyNode} node @param {Place} place @returns {Limits} */
export function limitsOf(app, node, place) {
  if (place.isExamples) return EXAMPLES;
  if (!place.chooser) return takesNegativeBoxes(app, node) ? NO_LIMITS : { ...NO_LIMITS, lacks: { negative_boxes: [] } };
  const all = known.get(node.comfyClass ?? node.type) ?? {};
  const provider = widgetOf(node, place.chooser)?.value;
  const by = variantInput(node, place);
  const variant = by && !isLinked(node, by) ? widgetOf(node, by)?.value : "";
  const facts = all[provider]?.variants[variant];
  // A server that this page has not heard of says itself what it takes, when the node runs.
  return facts ? ofVariant(all, provider, facts) : NO_LIMITS;
}

/** The input on which the limits depend besides the provider, "" where there is none.
 * @param {ComfyNode} node @param {Place} place */
export function variantInput(node, place) {
  const provider = place.chooser && widgetOf(node, place.chooser)?.value;
  const by = known.get(node.comfyClass ?? node.type)?.[provider]?.by;
  return by ? `${place.chooser}.${by}` : "";
}

/** @param {Record<string, EditorFacts>} all @param {string} provider @param {VariantFacts} facts
 * @returns {Limits} */
function ofVariant(all, provider, { title, takes, text, joins_objects }) {
  /** @type {Limits["lacks"]} */
  const lacks = {};
  for (const one of DRAWN) if (!takes.includes(one)) lacks[one] = takersOf(all, provider, one);
  return { title, lacks, wordsOnly: text && !takes.length, isCallEach: !joins_objects, isExamples: false };
}

/** What could be chosen for something: another variant of the same provider before other providers.
 * @param {Record<string, EditorFacts>} all @param {string} provider @param {Drawn} one */
function takersOf(all, provider, one) {
  const variantsOf = (/** @type {string} */ key) =>
    Object.entries(all[key].variants).flatMap(([name, { takes }]) => (takes.includes(one) ? [name] : []));
  const near = variantsOf(provider);
  if (near.length) return near;
  return Object.keys(all).flatMap((key) => variantsOf(key).map((name) => (name ? `${key} (${name})` : key)));
}
