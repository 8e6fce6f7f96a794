"""The editor on Text Segment: boxes around examples, and nothing else."""

from __future__ import annotations

import pytest


@pytest.fixture
def build():
    return lambda tab: tab.build_text()


@pytest.mark.one_frontend
def test_a_drag_is_an_example_and_a_right_drag_what_is_not_wanted(editor):
    assert editor.status == "Drag: like this. Right drag: not like this."
    editor.drag((90, 50), (230, 190))
    editor.drag((10, 10), (60, 60), button="right")
    first, second = editor.value["boxes"]
    assert (first["label"], second["label"]) == (1, 0)
    assert not editor.page.locator(".sa-chips").is_visible()


@pytest.mark.one_frontend
def test_a_click_is_refused_with_a_reason(editor):
    editor.click(160, 120)
    assert editor.text == ""
    assert editor.status == "This model takes no points."
