// @ts-check
/** Gives a saved node its values by the names of its inputs.
 *
 * The frontend stores them in a row, so that an input which came later, and does not stand at the
 * end, would shift all that follow: those below a chosen provider have others after them.
 */

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */

/** Keeps a node's saved values with their names from now on. @param {ComfyNode} node */
export function keepNames(node) {
  const configure = node.configure;
  node.configure = function (/** @type {any} */ saved) {
    return configure.call(this, inOrder(this, saved));
  };
}

/**
 * The saved node with its values in the order of today's widgets; a new widget gets its default.
 * Where names and values do not go together it is left as it is.
 * @param {ComfyNode} node @param {any} saved
 */
function inOrder(node, saved) {
  const inputs = (saved.inputs ?? []).filter((/** @type {any} */ each) => each.widget);
  const values = saved.widgets_values;
  if (!Array.isArray(values) || inputs.length !== values.length) return saved;
  /** @type {Map<string, any>} */
  const named = new Map(
    inputs.map((/** @type {any} */ each, /** @type {number} */ i) => [each.widget.name, values[i]]),
  );
  // A choice with inputs of its own brings them when it is made.
  for (const widget of [...(node.widgets ?? [])]) {
    if (named.has(widget.name)) widget.value = named.get(widget.name);
  }
  const widgets = (node.widgets ?? []).filter((each) => each.serialize !== false);
  const ordered = widgets.map((each) =>
    named.has(each.name) ? named.get(each.name) : each.value,
  );
  // A row as long as the node's own widgets and sockets together passes for one of an old frontend,
  // which had values for sockets as well, and the frontend would drop those. Longer ones are kept.
  const surplus = Array(node.inputs?.length ?? 0).fill(null);
  return { ...saved, widgets_values: [...ordered, ...surplus] };
}
