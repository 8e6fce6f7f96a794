"""What nodes say in the frontends: lines stay lines, and a saved choice is one of its list."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from segment_anywhere.nodes.host import progress

pytestmark = pytest.mark.one_renderer

_SAY = """(text) => {
  const node = app.canvas.graph.nodes.find((one) => one.type === "SegmentAnywhereText");
  const detail = { nodeId: String(node.id), text };
  app.api.dispatchEvent(new CustomEvent("progress_text", { detail }));
}"""
# The text of the innermost element that has it.
_SAID = """() => [...document.querySelectorAll("p, span")]
  .map((one) => one.innerText)
  .find((text) => text.includes("second line"))?.split("\\n") ?? null"""
_IS_CODE = 'document.querySelector("img[src=nowhere]") !== null'


def test_lines_stay_lines_and_are_no_code(tab, monkeypatch):
    sent = []
    server = SimpleNamespace(
        client_id="tab", send_progress_text=lambda text, node, client: sent.append(text)
    )
    monkeypatch.setattr(progress.PromptServer, "instance", server)
    node = SimpleNamespace(hidden=SimpleNamespace(unique_id="7"))
    progress.show_text(node, "first line, 3 < 4\nsecond line <img src=nowhere>\nthird line")
    tab.build_text()
    tab.page.evaluate(_SAY, *sent)
    tab.wait(
        lambda: tab.page.evaluate(_SAID),
        ["first line, 3 < 4", "second line < img src=nowhere>", "third line"],
    )
    assert not tab.page.evaluate(_IS_CODE)


_LOAD = """async ([saved, type, name]) => {
  const node = LiteGraph.createNode(type);
  const widget = (one) => one.widgets.find((each) => each.name === name);
  app.graph.clear();
  app.graph.add(node);
  const graph = app.graph.serialize();
  const values = graph.nodes[0].widgets_values;
  values[values.indexOf(widget(node).value)] = saved;
  await app.loadGraphData(graph);
  const loaded = widget(app.graph.nodes[0]);
  return [loaded.value, loaded.options.values.includes(loaded.value)];
}"""


@pytest.mark.parametrize(
    ("type", "name", "saved", "shown"),
    [
        (
            "SegmentAnywhereLoadSAM",
            "model",
            "sam2/sam2.1_hiera_tiny.pt",
            "sam2/sam2.1_hiera_tiny.pt (download, 156 MB)",
        ),
        ("SegmentAnywhereLoadSAM", "model", "sam2/sam2_tiny (download, 1 GB)", "sam2/sam2_tiny"),
        ("SegmentAnywhereLoadSAM", "model", "grabcut (built in)", "grabcut (built in)"),
        (
            "SegmentAnywhereText",
            "detector",
            "clipseg/clipseg-rd64-refined",
            "clipseg/clipseg-rd64-refined (download, 605 MB)",
        ),
    ],
)
def test_a_saved_model_is_shown_as_the_list_has_it(tab, type, name, saved, shown):
    assert tab.page.evaluate(_LOAD, [saved, type, name]) == [shown, True]
