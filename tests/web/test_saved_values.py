"""Saved graphs in the frontends: values stay with their inputs where new ones came between."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.servers import SERVERS
from tools.templates.writing import editor_path, lesson_named

pytestmark = pytest.mark.one_renderer

_LOAD = "async (saved) => { await app.loadGraphData(saved); }"
_VALUES = """() => {
  const node = app.graph.nodes.find((one) => one.type === "SegmentAnywhereRemote");
  return Object.fromEntries(node.widgets.map((widget) => [widget.name, widget.value]));
}"""
_COPY = """() => {
  const node = app.graph.nodes.find((one) => one.type === "SegmentAnywhereRemote");
  const copy = node.clone();
  app.graph.remove(node);
  app.graph.add(copy);
}"""
_SAVED = 'app.graph.serialize().nodes.find((one) => one.type === "SegmentAnywhereRemote")'


def remote_node(key: str, values: dict[str, Any], without: tuple[str, ...]) -> dict[str, Any]:
    """A graph with the node of a provider's template alone, as a pack without some inputs saved it.

    values: of its inputs, in place of the template's.
    """
    graph = json.loads(editor_path(lesson_named(f"remote_{key}")).read_text(encoding="utf-8"))
    (node,) = [each for each in graph["nodes"] if each["type"] == "SegmentAnywhereRemote"]
    names = [each["name"] for each in node["inputs"] if "widget" in each]
    saved = {**dict(zip(names, node["widgets_values"], strict=True)), **values}
    node["inputs"] = [{**each, "link": None} for each in node["inputs"]]
    node["inputs"] = [each for each in node["inputs"] if each["name"] not in without]
    node["widgets_values"] = [value for name, value in saved.items() if name not in without]
    node["outputs"] = [{**each, "links": None} for each in node["outputs"]]
    return {**graph, "nodes": [node], "links": []}


OLD = [
    (
        "fal",
        {
            "provider.prompt": "a cat",
            "provider.expand_mask": 3,
            "provider.image_url": "https://a.b",
        },
        {
            **{"provider.mask_only": True, "provider.webhook_url": ""},
            **{"provider.model": "General Use (Light)"},
            **{"provider.operating_resolution": "1024x1024"},
        },
    ),
    (
        "imagineo",
        {"provider.answer": "luma", "provider.run_id": "run-7"},
        {"provider.filename": "", "provider.use_run_image": False},
    ),
    (
        "segmind",
        {"provider.prompt": "a cat"},
        {"provider.overlay_mask": False, "provider.base64": False},
    ),
]


@pytest.mark.parametrize(("key", "own", "new"), OLD)
def test_a_node_that_was_saved_before_an_input_came(tab, key, own, new):
    own = {**own, "concurrency": 7, "timeout": 111, "force_new": 5}
    tab.page.evaluate(_LOAD, remote_node(key, own, tuple(new)))
    found = tab.page.evaluate(_VALUES)
    assert found["provider"] == key
    assert {name: found[name] for name in {**own, **new}} == {**own, **new}
    # And it is saved, and opened, as what it is now.
    saved = tab.page.evaluate(_SAVED)
    tab.page.evaluate(_LOAD, {**remote_node(key, {}, ()), "nodes": [saved]})
    assert tab.page.evaluate(_VALUES) == found
    assert not tab.errors


def test_a_node_of_today_is_opened_as_it_was_saved(tab):
    values = {"provider.mask_only": False, "provider.webhook_url": "https://a.example/b"}
    values |= {"concurrency": 2, "force_new": 9}
    tab.page.evaluate(_LOAD, remote_node("fal", values, ()))
    found = tab.page.evaluate(_VALUES)
    assert {name: found[name] for name in values} == values
    assert not tab.errors


@pytest.mark.parametrize("key", SERVERS)
def test_every_template_opens_with_its_values_and_so_does_its_copy(tab, key):
    graph = remote_node(key, {}, ())
    (node,) = graph["nodes"]
    names = [each["name"] for each in node["inputs"] if "widget" in each]
    saved = dict(zip(names, node["widgets_values"], strict=True))
    tab.page.evaluate(_LOAD, graph)
    assert {name: tab.page.evaluate(_VALUES)[name] for name in names} == saved
    tab.page.evaluate(_COPY)
    assert {name: tab.page.evaluate(_VALUES)[name] for name in names} == saved
    assert not tab.errors
