"""The editor on a clip: frames to go through, prompts that belong to them; and in a window."""

from __future__ import annotations

from functools import partial

import pytest

from .stub_server import CLIP_FRAMES, CLIP_STEP, SQUARE

MODEL = "sam2/sam2_tiny"
LAST = CLIP_FRAMES - 1
SHIFT = CLIP_STEP * LAST
# In the square on the first frame alone, and on the last one alone, away from what is clicked.
ONLY_FIRST, ONLY_LAST = (SQUARE[0] + 20, 170), (SQUARE[2] + SHIFT - 20, 170)


@pytest.fixture
def build(request):
    """The graph of the node that the test names."""
    kind = getattr(request, "param", "Point")
    return lambda tab: tab.build_clip(f"SegmentAnywhere{kind}", MODEL)


def frame(editor) -> str:
    return editor.page.locator(".sa-frame").inner_text()


def marks(editor) -> list[str]:
    return editor.page.locator(".sa-marks i").evaluate_all(
        "(all) => all.map((i) => i.dataset.frame)"
    )


def frames(editor) -> list[int | None]:
    value = editor.value
    return [prompt.get("frame") for prompt in (*value["points"], *value["boxes"])]


def masked(editor, first: bool, last: bool) -> None:
    """Wait until the mask is where the square is on one of the frames."""
    editor.wait(lambda: (editor.masked(*ONLY_FIRST), editor.masked(*ONLY_LAST)), (first, last))


def run(editor, stub) -> None:
    stub.last_masks = None
    editor.page.evaluate("app.queuePrompt(0)")
    editor.wait(lambda: stub.last_masks is not None and "object" in editor.status)


@pytest.mark.one_renderer
def test_prompts_are_on_every_frame_or_on_one(editor, stub):
    assert frame(editor) == f"0 / {LAST}"
    editor.click(190, 120)
    assert (frames(editor), marks(editor)) == ([None], [])
    masked(editor, True, False)
    editor.press("Escape")
    for _ in range(LAST):
        editor.press("ArrowRight")
    editor.wait(lambda: frame(editor), f"{LAST} / {LAST}")
    # The same click on another picture.
    masked(editor, False, True)
    editor.page.locator(".sa-clear").click()
    editor.page.locator(".sa-only").click()
    editor.click(190, 120)
    assert (frames(editor), marks(editor)) == ([LAST], [str(LAST)])
    masked(editor, False, True)
    run(editor, stub)
    assert [bool(mask.any()) for mask in stub.last_masks] == [False] * LAST + [True]
    masked(editor, False, True)
    editor.page.locator(".sa-previous").click()
    editor.wait(lambda: frame(editor), f"{LAST - 1} / {LAST}")
    masked(editor, False, False)
    # What is on another frame is not there for the hand.
    editor.click(190, 120)
    assert frames(editor) == [LAST, LAST - 1]


@pytest.mark.one_renderer
@pytest.mark.parametrize("build", ["Track"], indirect=True)
def test_click_correct_run_and_scrub(editor, stub):
    slider = editor.page.locator(".sa-slider")
    editor.click(170, 120)
    masked(editor, True, False)
    editor.press(".")
    editor.press(".")
    editor.press(",")
    editor.wait(lambda: frame(editor), f"1 / {LAST}")
    slider.fill(str(LAST))
    editor.wait(lambda: frame(editor), f"{LAST} / {LAST}")
    editor.click(200, 110)
    assert (frames(editor), marks(editor)) == ([0, LAST], ["0", str(LAST)])
    run(editor, stub)
    masked(editor, False, True)
    editor.page.locator(".sa-canvas").focus()
    editor.press("PageUp")
    editor.wait(lambda: frame(editor), f"0 / {LAST}")
    masked(editor, True, False)
    for index in range(CLIP_FRAMES):
        slider.fill(str(index))
        middle = (SQUARE[0] + SQUARE[2]) // 2 + CLIP_STEP * index
        assert stub.last_masks[index, 120, middle]
        editor.wait(partial(editor.masked, middle, 170))
    # A correction alone is no object to be drawn: the mask of the run stays until the next.
    editor.click(300, 20, button="right")
    editor.wait(lambda: editor.status.startswith("Point at"))
    masked(editor, False, True)
    # Undo makes the node anew; the frame stays.
    editor.undo()
    editor.wait(lambda: frame(editor), f"{LAST} / {LAST}")
    assert frames(editor) == [0, LAST]


@pytest.mark.one_frontend
@pytest.mark.parametrize("build", ["Track"], indirect=True)
def test_a_frame_that_is_not_encoded_waits_for_the_run(editor, stub):
    """The first run had nothing to follow, and looked at the first frame alone."""
    editor.press("Escape")
    editor.page.locator(".sa-next").click()
    editor.wait(lambda: frame(editor), f"1 / {LAST}")
    editor.click(170, 120)
    editor.press("Escape")
    editor.wait(lambda: "The mask comes with the run" in editor.status)
    assert editor.page.locator(".sa-encode").is_hidden()
    run(editor, stub)
    editor.wait(lambda: editor.masked(170, 170))
    editor.drag((170, 120), (20, 20))
    editor.wait(lambda: editor.masked(30, 40))


@pytest.mark.one_frontend
@pytest.mark.parametrize("build", ["Track"], indirect=True)
def test_the_slider_moves_no_node_and_the_keys_are_not_the_graphs(editor):
    before = editor.node("[...node.pos]")
    slider = editor.page.locator(".sa-slider").bounding_box()
    y = slider["y"] + slider["height"] / 2
    editor.page.mouse.move(slider["x"] + 8, y)
    editor.page.mouse.down()
    editor.page.mouse.move(slider["x"] + slider["width"] - 8, y, steps=8)
    editor.page.mouse.up()
    editor.wait(lambda: frame(editor), f"{LAST} / {LAST}")
    editor.press("ArrowLeft")
    editor.wait(lambda: frame(editor), f"{LAST - 1} / {LAST}")
    editor.press("Delete")
    assert editor.node("[...node.pos]") == before


def test_a_window_over_the_graph(editor, stub):
    editor.click(170, 120)
    small = editor.page.locator(".sa-canvas").bounding_box()
    editor.page.locator(".sa-full").click()
    editor.page.locator(".sa-full-size .sa-canvas").wait_for(state="visible")
    editor.page.wait_for_timeout(200)
    large = editor.page.locator(".sa-canvas").bounding_box()
    assert large["width"] > 1.5 * small["width"]
    masked(editor, True, False)
    editor.click(190, 140)
    editor.click(30, 30, button="right")
    wanted = [(170, 120, 1), (190, 140, 1), (30, 30, 0)]
    found = editor.points
    assert [one[2] for one in found] == [one[2] for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one[:2] == pytest.approx(other[:2], abs=2)
    editor.press("Control+z")
    editor.wait(lambda: len(editor.points), 2)
    editor.page.locator(".sa-full-size .sa-canvas").wait_for(state="visible")
    editor.page.wait_for_timeout(400)
    editor.press(".")
    editor.wait(lambda: frame(editor), f"1 / {LAST}")
    editor.click(60, 200)
    # Escape lets go of the point first.
    editor.press("Escape")
    assert editor.page.locator(".sa-full-size").count() == 1
    editor.press("Escape")
    editor.wait(lambda: editor.page.locator(".sa-full-size .sa-canvas").count(), 0)
    editor.page.locator(".sa-canvas").wait_for(state="visible")
    editor.page.wait_for_timeout(200)
    editor.click(60, 60)
    assert len(editor.points) == 4
    assert editor.points[-1][:2] == pytest.approx((60, 60), abs=editor.tolerance)
