"""What is run in a page with ComfyUI's frontend: JavaScript for `ComfyPage`."""

from __future__ import annotations

READY = "window.app?.canvas && window.app.extensionManager?.workflow?.activeWorkflow"
REGISTERED = '"SegmentAnywherePoint" in LiteGraph.registered_node_types'
# The frontend remembers values by the node's id: no id is used twice.
CLEAR = """() => {
  const last = app.graph.last_node_id;
  app.graph.clear();
  app.graph.last_node_id = last;
}"""
BUILD = """({ zoom, source, type, model, file, values }) => {
  const graph = app.graph;
  const add = (type, x, y) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, y];
    graph.add(node);
    return node;
  };
  const image = add(source, 20, 80);
  const segment = add(type, 380, 80);
  image.connect(0, segment, type === "SegmentAnywhereTrack" ? "images" : "image");
  for (const [name, value] of Object.entries(values)) {
    const widget = segment.widgets.find((one) => one.name === name);
    widget.value = value;
    widget.callback(value);
  }
  if (type !== "SegmentAnywhereRemote") {
    const sam = add("SegmentAnywhereLoadSAM", 20, 480);
    // As wide as there is room for beside the other.
    sam.setSize([320, sam.size[1]]);
    sam.connect(0, segment, "model");
    sam.widgets[0].value = model;
  }
  if (file) {
    image.widgets[0].value = file;
    image.widgets[0].callback(file);
  }
  app.canvas.ds.scale = zoom;
  app.canvas.ds.offset[0] = 60;
  app.canvas.ds.offset[1] = 60;
  app.canvas.setDirty(true, true);
}"""
# What the canvas shows at pixels of the image, with the whole image in view.
COLOURS = """({ pixels, size: [width, height] }) => {
  const canvas = document.querySelector(".sa-canvas");
  const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const scale = Math.min(canvas.width / width, canvas.height / height);
  return pixels.map(([x, y]) => {
    const column = Math.floor(canvas.width / 2 + (x - width / 2) * scale);
    const row = Math.floor(canvas.height / 2 + (y - height / 2) * scale);
    const at = 4 * (row * canvas.width + column);
    return [...all.subarray(at, at + 3)];
  });
}"""
INTO_SUBGRAPH = """() => {
  const graph = app.graph;
  const inner = graph.nodes.filter((node) => node.type.startsWith("SegmentAnywhere"));
  const { subgraph } = graph.convertToSubgraph(new Set(inner));
  app.canvas.openSubgraph?.(subgraph) ?? app.canvas.setGraph(subgraph);
}"""
# The node with the editor.
NODE = """app.canvas.graph.nodes.find(
  (node) => /^SegmentAnywhere(Point|Remote|Text|Track)$/.test(node.type)
)"""
EDITOR = f'{NODE}?.widgets.find((widget) => widget.name === "editor").element'
TEXT = f"""{NODE}.widgets.find((widget) => /(^|[.])points$/.test(widget.name))?.value ?? null"""
SET = f"""([name, value]) => {{
  const one = {NODE}.widgets.find((widget) => widget.name === name);
  one.value = value;
  one.callback(value);
}}"""
GRAPH = "JSON.stringify(app.graph.serialize())"
TRACKER = "app.extensionManager.workflow.activeWorkflow.changeTracker"
CAPTURE = f"({TRACKER}.captureCanvasState ?? {TRACKER}.checkState).call({TRACKER})"
# The newest frontend adds to a noted state what changes within the next 50 ms, too short for a
# hand. Timers of a page end in their order.
NOTED = "new Promise((noted) => setTimeout(noted, 100))"
