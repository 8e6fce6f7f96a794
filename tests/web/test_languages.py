"""ComfyUI's frontends and the editor in another language."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.paths import ROOT

from .comfy_page import ComfyPage, new_page
from .conftest import Window

pytestmark = pytest.mark.one_renderer

LANGUAGE = "ja"
_SHOWN = """(type) => {
  const node = app.graph.nodes.find((one) => one.type === type);
  const names = (slots) => slots.map((one) => [one.name, one.label ?? one.localized_name]);
  const widgets = node.widgets.filter((one) => one.name !== "editor");
  return {
    title: node.title,
    inputs: Object.fromEntries([...names(node.inputs), ...names(widgets)]),
    outputs: node.outputs.map((one) => one.label ?? one.localized_name),
  };
}"""


@pytest.fixture
def page(window: Window) -> Iterator[ComfyPage]:
    window.stub.settings["Comfy.Locale"] = LANGUAGE
    tab = new_page(window.browser, window.stub.url, window.stub.look)
    tab.build()
    yield tab
    tab.page.context.close()
    del window.stub.settings["Comfy.Locale"]


def _texts(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "locales" / LANGUAGE / name).read_text(encoding="utf-8"))


def test_nodes_and_editor_speak_it(page):
    for node_id in ("SegmentAnywherePoint", "SegmentAnywhereLoadSAM"):
        texts = _texts("nodeDefs.json")[node_id]
        assert page.page.evaluate(_SHOWN, node_id) == {
            "title": texts["display_name"],
            "inputs": {name: one["name"] for name, one in texts["inputs"].items()},
            "outputs": [one["name"] for one in texts["outputs"].values()],
        }
    texts = _texts("main.json")["segmentAnywhere"]
    hints = [texts[name] for name in ("hintPoint", "hintNegative", "hintBox")]
    assert page.status == " ".join(hints)
    assert not page.errors
