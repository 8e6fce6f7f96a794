// @ts-check
/**
 * Lets a graph run whose only results are shown inside our nodes.
 *
 * ComfyUI refuses a graph without an output node. Ours are none, so that a graph from a script runs
 * what it needs and no more; what a browser queues gets an output for each of them, but only where
 * the whole graph would be refused without.
 */

/** What makes an output of any value. */
const PREVIEW = "PreviewAny";
/** What is cheap to show as text, best first. */
const TYPES = ["INT", "STRING", "BOUNDING_BOX", "MASK", "IMAGE"];
const OURS = /^SegmentAnywhere/;
const ADDED = "segment_anywhere_shown_";

/** The output nodes among all types. @type {Set<string>} */
const outputs = new Set();
/** Which output of ours shows best that a node has run, by its type. @type {Map<string, number>} */
const shown = new Map();

/** Keeps what a node's definition says of its outputs. @param {any} definition */
export function noteOutputs({ name, output_node, has_intermediate_output, output }) {
  if (output_node) outputs.add(name);
  if (!OURS.test(name) || !has_intermediate_output) return;
  const slot = TYPES.map((type) => output.indexOf(type)).find((place) => place >= 0);
  shown.set(name, slot ?? 0);
}

/** Lets what this page queues run without an output node. @param {any} api */
export function runWithoutOutputs(api) {
  const queue = api.queuePrompt;
  api.queuePrompt = function (
    /** @type {number} */ number,
    /** @type {any} */ prompt,
    /** @type {any} */ options,
    /** @type {any[]} */ ...more
  ) {
    const isWhole = !options?.partialExecutionTargets?.length;
    return queue.call(this, number, isWhole ? withOutputs(prompt) : prompt, options, ...more);
  };
}

/** The prompt with outputs where it has none. @param {any} prompt */
function withOutputs(prompt) {
  const nodes = Object.entries(prompt?.output ?? {});
  const hasOutput = nodes.some(([, { class_type }]) => outputs.has(class_type));
  if (hasOutput || !outputs.has(PREVIEW)) return prompt;
  const added = nodes.flatMap(([id, { class_type }]) => {
    const slot = shown.get(class_type);
    if (slot === undefined) return [];
    return [[ADDED + id, previewOf([id, slot], "Shown")]];
  });
  return { ...prompt, output: { ...prompt.output, ...Object.fromEntries(added) } };
}

/** A node of a prompt that shows a value as text, which nobody looks at.
 * @param {[string, number]} source @param {string} title */
export function previewOf(source, title) {
  return { class_type: PREVIEW, inputs: { source }, _meta: { title } };
}
