"""Sizes of nodes: fresh ones show what is in them, saved ones stay as they were."""

from __future__ import annotations

import pytest

from .comfy_page import ComfyPage

LONGEST = "sam3/sam3.1_multiplex_fp16.safetensors (download, 1.7 GB)"
_FRESH = """async () => {
  const app = window.app ?? window.comfyAPI.app.app;
  app.graph.clear();
  const node = LiteGraph.createNode("SegmentAnywhereLoadSAM");
  app.graph.add(node);
  return [...node.size];
}"""
_SAVED = """async (size) => {
  const app = window.app ?? window.comfyAPI.app.app;
  const graph = app.graph.serialize();
  graph.nodes[0].size = size;
  await app.loadGraphData(graph);
  return [...app.graph._nodes[0].size];
}"""
_TEXT_WIDTH = """(text) => {
  const context = document.createElement("canvas").getContext("2d");
  context.font = `${LiteGraph.NODE_TEXT_SIZE - 2}px Inter, Arial`;
  return context.measureText(text).width;
}"""


@pytest.mark.one_renderer
def test_load_sam_shows_whole_names_and_keeps_a_saved_size(tab: ComfyPage):
    width, height = tab.page.evaluate(_FRESH)
    assert width >= tab.page.evaluate(_TEXT_WIDTH, LONGEST) + 60
    assert tab.page.evaluate(_SAVED, [300, height])[0] == 300
