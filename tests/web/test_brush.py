"""The editor's brush in ComfyUI's frontends: what is painted, erased, undone and shown."""

from __future__ import annotations

import numpy as np
import pytest
from segment_anywhere.core.engines.families import BUILT_IN_CHOICE
from segment_anywhere.core.prompts.formats import parse_points

SIZE = (240, 320)
# Beside the square of the picture.
OUTSIDE = (40, 40)


@pytest.fixture
def model() -> str:
    """One that nothing is asked of before *Show mask* is pressed."""
    return "sam2/sam2_tiny"


def painted(editor, number: int = 0) -> np.ndarray:
    """What the node would get of an object: [240, 320] bool."""
    masks = [each.drawn for each in parse_points(editor.text, SIZE).masks if each.object == number]
    assert len(masks) == 1
    return masks[0].numpy() > 0


def has_brush(editor) -> bool:
    return editor.page.locator(".sa-brush").get_attribute("aria-pressed") == "true"


def take_brush(editor) -> None:
    editor.page.locator(".sa-brush").click()
    assert has_brush(editor)


def test_a_stroke_is_a_mask_of_the_object(editor):
    plain = editor.colour(200, 100)
    take_brush(editor)
    assert "right drag erases" in editor.status
    editor.drag((100, 100), (220, 100))
    (mask,) = editor.value["masks"]
    assert (mask["object"], mask["size"]) == (0, [192, 256])
    assert (editor.value["points"], editor.value["boxes"]) == ([], [])
    # The brush is a sixteenth of the longer side wide: ten pixels to either side.
    rows, columns = np.nonzero(painted(editor))
    reach = 2 * editor.tolerance + 2
    assert (rows.min(), rows.max()) == pytest.approx((90, 110), abs=reach)
    assert (columns.min(), columns.max()) == pytest.approx((90, 230), abs=reach)
    assert painted(editor)[100, 100:220].all()
    editor.wait(lambda: editor.colour(200, 100) != plain)
    # Laid down, the hand clicks again.
    editor.press("b")
    editor.click(40, 200)
    assert len(editor.points) == len(editor.value["masks"]) == 1


def test_erase_and_undo(editor):
    take_brush(editor)
    editor.drag((60, 60), (260, 60))
    stroke = editor.text
    editor.drag((160, 30), (160, 100), button="right")
    erased = painted(editor)
    assert erased[60, 80] and erased[60, 240] and not erased[60, 160]
    states = [editor.text]
    for _ in range(2):
        editor.undo()
        states.append(editor.text)
    assert states[1:] == [stroke, ""]
    editor.redo()
    assert editor.text == stroke
    # The oldest frontends give the graph a new id, with which all that was kept goes.
    if not has_brush(editor):
        take_brush(editor)
    editor.page.locator(".sa-subtract").click()
    editor.drag((40, 60), (150, 60))
    assert not painted(editor)[60, :140].any() and painted(editor)[60, 240]
    editor.drag((150, 60), (300, 60))
    assert editor.text == ""


@pytest.mark.one_frontend
def test_the_keyboard_paints(editor):
    editor.page.locator(".sa-canvas").focus()
    editor.press("b")
    editor.press("2")
    editor.press("Enter")
    before = painted(editor, 1)
    assert before[120, 160]
    for _ in range(3):
        editor.press("]")
    assert "Brush: 39 pixels wide" in editor.status
    editor.press("Enter")
    assert painted(editor, 1).sum() > 2 * before.sum()
    editor.press("Shift+Enter")
    assert editor.text == ""
    for _ in range(40):
        editor.press("[")
    assert "Brush: 3 pixels wide" in editor.status


@pytest.mark.one_frontend
def test_objects_have_masks_of_their_own_and_clear_takes_all(editor):
    take_brush(editor)
    editor.click(60, 60)
    editor.page.locator(".sa-more").click()
    editor.drag((160, 120), (200, 120))
    editor.undo()
    assert has_brush(editor), "the node has been made anew"
    editor.redo()
    assert [mask["object"] for mask in editor.value["masks"]] == [0, 1]
    assert painted(editor, 0)[60, 60] and not painted(editor, 0)[120, 180]
    editor.page.locator(".sa-clear").click()
    assert editor.text == ""


def test_the_mask_follows_the_brush(editor, stub):
    editor.build(BUILT_IN_CHOICE)
    take_brush(editor)
    for _ in range(4):
        editor.page.locator(".sa-canvas").focus()
        editor.press("]")
    editor.drag((140, 100), (190, 140))
    # Beside the stroke and in the square: the result, and not what was painted.
    assert not painted(editor)[96, 184]
    editor.wait(lambda: editor.masked(184, 96), seconds=30)
    assert not editor.masked(*OUTSIDE)
    asked = stub.previews
    editor.drag((150, 150), (180, 160))
    editor.wait(lambda: stub.previews > asked, seconds=30)
    editor.wait(lambda: editor.masked(184, 96), seconds=30)
    assert len(stub.prompts) == 1
