"""The placeholders of Save Segments in the frontends: filled in where they are sent."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .comfy_page import ComfyPage

_PROMPT = """async ([prefix, name]) => {
  app.graph.clear();
  const image = LiteGraph.createNode("LoadImage");
  const save = LiteGraph.createNode("SegmentAnywhereSave");
  for (const node of [image, save]) app.graph.add(node);
  image.widgets[0].value = "birds/robin.png";
  const widget = (wanted) => save.widgets.find((one) => one.name === wanted);
  widget("filename_prefix").value = prefix;
  widget("image_name").value = name;
  const { output } = await app.graphToPrompt();
  const kept = [widget("filename_prefix").value, widget("image_name").value];
  return { sent: output[save.id].inputs, kept };
}"""


def _sent(tab: ComfyPage, prefix: str, name: str) -> dict[str, Any]:
    answer = tab.page.evaluate(_PROMPT, [prefix, name])
    assert answer["kept"] == [prefix, name]
    return answer["sent"]


@pytest.mark.one_renderer
def test_placeholders_are_filled_in_as_for_save_image(tab):
    sent = _sent(tab, "set_%date:yyyy%/a", "%LoadImage.image%")
    assert re.fullmatch(r"set_20\d\d/a", sent["filename_prefix"])
    assert sent["image_name"] == "birds_robin.png"


@pytest.mark.one_renderer
def test_what_the_server_fills_in_and_what_is_none_stay(tab):
    sent = _sent(tab, "%width%x%height%/a", "dog 100%.jpg")
    assert sent["filename_prefix"] == "%width%x%height%/a"
    assert sent["image_name"] == "dog 100%.jpg"
