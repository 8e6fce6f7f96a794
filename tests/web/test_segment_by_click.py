"""The editor in a window, from the menu of a node that shows a picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from .click_window import ClickWindow
from .stub_server import SQUARE, picture

INSIDE = (160, 120)
_PICTURE = """(shows) => {
  const graph = app.graph;
  const last = graph.last_node_id;
  graph.clear();
  graph.last_node_id = last;
  const add = (type, x) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, 80];
    graph.add(node);
    return node;
  };
  const image = add("LoadImage", 20);
  if (shows) image.connect(0, add("PreviewImage", 400), 0);
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset[0] = app.canvas.ds.offset[1] = 60;
  app.canvas.setDirty(true, true);
}"""
_CHOOSE = """(file) => {
  const [widget] = app.graph.nodes[0].widgets;
  if (!widget.options.values.includes(file)) widget.options.values.push(file);
  widget.value = file;
  widget.callback(file);
}"""
_LINKS = """() => {
  const name = (id) => app.graph.getNodeById(id).type;
  return [...app.graph.links.values()].map((link) => [name(link.origin_id), name(link.target_id)]);
}"""


class Window(ClickWindow):
    """The window over a graph of a picture alone."""

    def __init__(self, tab, stub):
        super().__init__(tab)
        self.stub = stub

    def build(self, shows):
        if self.is_open:
            # A failed test has left it.
            self.press("Cancel")
        self.page.set_viewport_size({"width": 1300, "height": 900})
        self.tab.image_size = (320, 240)
        self.page.evaluate(_PICTURE, shows)
        if shows:
            self.page.evaluate("app.queuePrompt(0)")
            self.page.wait_for_timeout(500)
        self.page.wait_for_timeout(500)
        self.tab.capture()
        self.stub.reset()

    @property
    def kinds(self):
        return self.page.evaluate("app.graph.nodes.map((node) => node.type).sort()")


@pytest.fixture
def build():
    return lambda tab: tab.errors.clear()


@pytest.fixture
def window_(editor, stub):
    return Window(editor, stub)


@pytest.mark.parametrize("file", ["square.png", "square.jpg"])
def test_load_image_gets_a_mask(window_, stub, editor, file):
    """Of a photograph the picture as Load Image gives it: the file may be turned."""
    window_.build(shows=False)
    editor.page.evaluate(_CHOOSE, file)
    editor.page.wait_for_timeout(500)
    editor.capture()
    window_.open("LoadImage")
    editor.click(*INSIDE)
    editor.wait(lambda: editor.masked(130, 90))
    window_.press("Use as the image's mask")
    editor.wait(lambda: window_.is_open, False)
    (name,) = stub.uploads
    value = "app.graph.nodes[0].widgets[0].value"
    assert editor.page.evaluate(value) == f"clipspace/{name} [input]"
    masked = np.asarray(Image.open(io.BytesIO(stub.uploads[name])))
    left, top, right, bottom = SQUARE
    truth = np.zeros(masked.shape[:2], bool)
    truth[top:bottom, left:right] = True
    hole = masked[..., 3] < 128
    assert (hole & truth).sum() > 0.9 * (hole | truth).sum()
    # Nothing of the picture is lost below its mask.
    np.testing.assert_array_equal(masked[..., :3], np.asarray(picture("square.png")))
    assert window_.kinds == ["LoadImage"]
    editor.press("Control+z")
    editor.wait(lambda: editor.page.evaluate(value), file)


def test_a_shown_picture_gets_a_node(window_, editor):
    window_.build(shows=True)
    window_.open("PreviewImage")
    assert not window_.page.locator(".sa-write").count()
    editor.click(*INSIDE)
    editor.wait(lambda: editor.masked(130, 90))
    window_.press("Add Point Segment")
    editor.wait(lambda: window_.is_open, False)
    links = sorted(map(tuple, editor.page.evaluate(_LINKS)))
    assert links == [
        ("LoadImage", "PreviewImage"),
        ("LoadImage", "SegmentAnywherePoint"),
        ("SegmentAnywhereLoadSAM", "SegmentAnywherePoint"),
    ]
    editor.page.wait_for_timeout(500)
    ((x, y, label),) = editor.points
    assert (x, y, label) == pytest.approx((*INSIDE, 1), abs=2)
    overlaps = """app.graph.nodes.flatMap((one, place) => app.graph.nodes.slice(place + 1)
      .filter((other) => [0, 1].every((axis) => one.pos[axis] < other.pos[axis] + other.size[axis]
        && other.pos[axis] < one.pos[axis] + one.size[axis])).map((other) => other.type))"""
    assert editor.page.evaluate(overlaps) == []


@pytest.mark.one_renderer
def test_undo_in_the_window_is_its_own(window_, editor):
    window_.build(shows=False)
    window_.open("LoadImage")
    editor.click(*INSIDE)
    editor.click(40, 40, button="right")
    kinds = window_.kinds
    editor.press("Escape")
    assert window_.is_open
    editor.press("Control+z")
    editor.press("Control+z")
    editor.wait(lambda: editor.page.locator(".sa-clear").is_disabled())
    editor.press("Control+Shift+z")
    editor.wait(lambda: editor.page.locator(".sa-clear").is_enabled())
    editor.press("Escape")
    editor.wait(lambda: window_.is_open, False)
    assert window_.kinds == kinds
    # The graph has its own undo back.
    assert not editor.page.evaluate(
        "Object.hasOwn(app.extensionManager.workflow.activeWorkflow.changeTracker, 'undoRedo')"
    )


@pytest.mark.one_frontend
def test_a_mask_that_is_refused_leaves_the_window(window_, stub, editor):
    window_.build(shows=False)
    window_.open("LoadImage")
    editor.click(*INSIDE)
    editor.wait(lambda: editor.masked(130, 90))
    stub.takes_masks = False
    window_.press("Use as the image's mask")
    editor.page.get_by_text("takes no mask").first.wait_for()
    assert window_.is_open
    assert not stub.uploads
    stub.takes_masks = True
    window_.press("Cancel")
    editor.wait(lambda: window_.is_open, False)
