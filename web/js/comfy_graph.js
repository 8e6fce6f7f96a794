// @ts-check
/** Reads ComfyUI's graph: what stands before a node, subgraphs and reroutes looked through. */

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */

/** The "node" at which a subgraph's inputs come in; newer frontends have strings for ids. */
const SUBGRAPH_INPUT = "-10";
/** As far as one looks for the node that loads an image. */
const MAX_HOPS = 32;

/** Nodes that load an image show it before they run. @param {ComfyNode} node */
export function isLoader(node) {
  return /^LoadImage/.test(node.comfyClass ?? node.type);
}

/**
 * The node that a named input comes from; null where it is unlinked or cannot be found.
 * @param {any} app @param {ComfyNode} node @param {string} name @returns {ComfyNode | null}
 */
export function originOf(app, node, name) {
  // A node that is being copied belongs to no graph.
  const slot = node.graph ? (node.inputs ?? []).findIndex((input) => input.name === name) : -1;
  return slot < 0 ? null : originOfSlot(app, node, slot);
}

/** The output at the other end of a linked input, reroutes counting as nodes; null where it lies
 * outside a subgraph. @param {ComfyNode} node @param {number} slot
 * @returns {{ node: ComfyNode, slot: number } | null} */
export function originSlot(node, slot) {
  const id = node.inputs?.[slot]?.link;
  const link = id == null ? null : linkOf(node.graph, id);
  const origin = link && node.graph.getNodeById(link.origin_id);
  return origin ? { node: origin, slot: link.origin_slot } : null;
}

/** @param {ComfyNode} node @param {string} name */
export function isLinked(node, name) {
  return (node.inputs ?? []).some((input) => input.name === name && input.link != null);
}

/**
 * The first node with a picture of its own on the way up from an input, and how many nodes that
 * may have changed the picture stand between.
 * @param {any} app @param {ComfyNode} node @param {string} name
 * @returns {{ node: ComfyNode, hops: number } | null}
 */
export function pictureBefore(app, node, name) {
  let origin = originOf(app, node, name);
  for (let hops = 0; origin && hops < MAX_HOPS; hops += 1) {
    if (isLoader(origin) && hasPicture(app, origin)) return { node: origin, hops };
    const slot = (origin.inputs ?? []).findIndex((/** @type {any} */ input) => input.type === "IMAGE" && input.link != null);
    origin = slot < 0 ? null : originOfSlot(app, origin, slot);
  }
  return null;
}

/** Nodes 2.0 has no `imgs` of a file that is chosen later. @param {any} app @param {ComfyNode} node */
function hasPicture(app, node) {
  return Boolean(node.imgs?.[0]?.src || outputOf(app, node)?.images?.[0]?.filename);
}

/** The id by which a run calls a node: those of the subgraphs around it first.
 * @param {any} app @param {ComfyNode} node @returns {string} */
export function executionId(app, node) {
  const host = hostOf(app, node.graph);
  return host ? `${executionId(app, host)}:${node.id}` : String(node.id);
}

/** What the last run of a node has left in its `ui`. @param {any} app @param {ComfyNode} node */
export function outputOf(app, node) {
  if (!node.graph) return undefined;
  const isRoot = node.graph === rootOf(app);
  return app.nodeOutputs?.[isRoot ? String(node.id) : `${node.graph.id}:${node.id}`];
}

/** @param {any} app */
function rootOf(app) {
  return app.rootGraph ?? app.graph;
}

/** @param {any} app @param {ComfyNode} node @param {number} slot @returns {ComfyNode | null} */
function originOfSlot(app, node, slot, hops = MAX_HOPS) {
  const id = node.inputs?.[slot]?.link;
  const link = id == null ? null : linkOf(node.graph, id);
  if (!link || !hops) return null;
  if (String(link.origin_id) === SUBGRAPH_INPUT) {
    const host = hostOf(app, node.graph);
    return host && originOfSlot(app, host, link.origin_slot, hops - 1);
  }
  return settle(app, node.graph.getNodeById(link.origin_id), link.origin_slot, hops - 1);
}

/**
 * The node that really makes what an output gives.
 * @param {any} app @param {ComfyNode | null} node @param {number} slot @param {number} hops
 * @returns {ComfyNode | null}
 */
function settle(app, node, slot, hops) {
  if (!node) return null;
  if (node.type === "Reroute") return originOfSlot(app, node, 0, hops);
  const { subgraph } = node;
  if (!subgraph || !node.isSubgraphNode?.()) return node;
  const id = subgraph.outputNode?.slots?.[slot]?.linkIds?.[0];
  const link = id == null ? null : linkOf(subgraph, id);
  return link ? settle(app, subgraph.getNodeById(link.origin_id), link.origin_slot, hops - 1) : null;
}

/** @param {any} graph @param {number} id */
function linkOf(graph, id) {
  return graph.getLink?.(id) ?? graph.links?.[id] ?? null;
}

/** The node that stands for a subgraph in the graph around it. @param {any} app @param {any} graph */
function hostOf(app, graph) {
  const root = rootOf(app);
  return graph && graph !== root ? findHost(root, graph, MAX_HOPS) : null;
}

/** @param {any} around @param {any} graph @param {number} depth @returns {ComfyNode | null} */
function findHost(around, graph, depth) {
  const hosts = around.nodes.filter((/** @type {ComfyNode} */ node) => node.subgraph);
  const host = hosts.find((/** @type {ComfyNode} */ node) => node.subgraph === graph);
  if (host || !depth) return host ?? null;
  for (const inner of hosts) {
    const found = findHost(inner.subgraph, graph, depth - 1);
    if (found) return found;
  }
  return null;
}
