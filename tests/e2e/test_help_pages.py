"""The help page of every node, as ComfyUI's panel shows it in both renderers."""

from __future__ import annotations

import pytest
from segment_anywhere.nodes import NODES

from tests.support.paths import ROOT
from tests.web.comfy_page import ComfyPage

pytestmark = pytest.mark.xdist_group("comfyui")

ARTIFACTS = ROOT / "artifacts" / "help"
NAMES = [node.GET_SCHEMA().node_id for node in NODES]
_SELECT = """(type) => {
  app.graph.clear();
  const node = LiteGraph.createNode(type);
  node.pos = [300, 200];
  app.graph.add(node);
  app.canvas.selectNode(node);
  app.canvas.setDirty(true, true);
}"""
_PAGE = ".node-help-content"
# What of the page reaches over its right border. Long paths and tables of many columns do, and the
# panel scrolls; what tells of the inputs must not.
_CUT_OFF = f"""() => {{
  const page = document.querySelector("{_PAGE}");
  const border = page.getBoundingClientRect().right;
  const isWide = (part) => part.closest("table")?.rows[0].cells.length > 2;
  return [...page.querySelectorAll("th, td, img")]
    .filter((part) => !isWide(part) && part.getBoundingClientRect().right > border + 1)
    .map((part) => part.innerText || part.src);
}}"""
_PICTURES = f"""() => [...document.querySelectorAll("{_PAGE} img")]
  .map((img) => [img.getAttribute("src"), img.alt, img.complete && img.naturalWidth > 0])"""


@pytest.fixture(scope="module")
def viewport():
    """Of which the panel takes a fifth."""
    return (1500, 1000)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_all_there_and_fits_into_the_panel(page: ComfyPage, name):
    page.errors.clear()
    page.page.evaluate(_SELECT, name)
    panel = page.page.locator(_PAGE)
    if not panel.count():
        page.page.get_by_test_id("info-button").click()
    schema = next(node.GET_SCHEMA() for node in NODES if node.GET_SCHEMA().node_id == name)
    panel.get_by_role("heading", name=schema.display_name, exact=True).first.wait_for()
    page.wait(lambda: all(shown for *_, shown in page.page.evaluate(_PICTURES)))
    page.screenshot(ARTIFACTS / f"{name}-{'nodes2' if page.look.vue else 'canvas'}.png")
    assert page.page.evaluate(_CUT_OFF) == []
    assert all(text for _, text, _ in page.page.evaluate(_PICTURES))
    # Markdown that was not understood would be there as it was written.
    text = panel.inner_text()
    assert "](" not in text and "**" not in text and "<wbr>" not in text and "| " not in text
    ends = {*(each.id for each in schema.inputs), *(each.display_name for each in schema.outputs)}
    assert [each for each in ends if each and each not in text] == []
    assert not page.errors
