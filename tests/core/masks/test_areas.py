"""Rectangles around what is selected."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anywhere.core.masks.areas import separate_areas, surroundings

HEIGHT, WIDTH = 400, 700

points = st.lists(st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1)), max_size=12)


def _mask(selected: list[tuple[int, int]]) -> torch.Tensor:
    mask = torch.zeros(HEIGHT, WIDTH)
    for row, column in selected:
        mask[row, column] = 0.01
    return mask


@given(points, st.floats(0, 150))
@settings(max_examples=100, deadline=None)
def test_every_margin_is_in_one_rectangle_and_none_overlap(selected, margin):
    mask = _mask(selected)
    count = torch.zeros(HEIGHT, WIDTH, dtype=torch.int32)
    held = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    for area in separate_areas(mask, margin):
        count[area] += 1
        assert mask[area].any()
    for row, column in selected:
        reach = int(margin)
        held[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 1
    assert count.max() <= 1
    assert (count[held] == 1).all()


@given(points, st.floats(0, 150))
@settings(max_examples=100, deadline=None)
def test_the_surroundings_hold_the_same_rectangles(selected, margin):
    mask = _mask(selected)
    rows, columns = ([place[axis] for place in selected] or [0] for axis in (0, 1))
    box = slice(min(rows), max(rows) + 1), slice(min(columns), max(columns) + 1)
    down, across = surroundings(box, margin, (HEIGHT, WIDTH))
    assert 0 <= down.start < down.stop <= HEIGHT and 0 <= across.start < across.stop <= WIDTH

    def covered(part: torch.Tensor) -> list[torch.Tensor]:
        """Where the rectangles are that are found in a part of the frame."""
        found = []
        for area in separate_areas(part, margin):
            found.append(torch.zeros(HEIGHT, WIDTH, dtype=torch.bool))
            offset = (slice(None), slice(None)) if part is mask else (down, across)
            found[-1][offset][area] = True
        return found

    within, whole = covered(mask[down, across]), covered(mask)
    assert all(torch.equal(one, two) for one, two in zip(within, whole, strict=True))


@pytest.mark.parametrize(
    ("selected", "margin", "expected"),
    [
        ([], 10.0, []),
        ([(100, 200)], 0.0, [(100, 101, 200, 201)]),
        ([(100, 200), (110, 230)], 4.5, [(95, 116, 195, 236)]),
        ([(0, 0), (399, 699)], 20.0, [(0, 21, 0, 21), (379, 420, 679, 720)]),
        ([(0, 0), (399, 699)], 300.0, [(0, 700, 0, 1000)]),
    ],
)
def test_rectangles_end_at_the_margin(selected, margin, expected):
    areas = separate_areas(_mask(selected), margin)
    found = [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in areas]
    assert sorted(found) == expected


def test_what_lies_within_a_frame_belongs_to_it():
    """An object inside the hole of another has no rectangle of its own."""
    mask = torch.zeros(HEIGHT, WIDTH)
    mask[10:390, 10:690] = 1
    mask[12:388, 12:688] = 0
    mask[200, 350] = 1
    assert separate_areas(mask, 0.0) == [(slice(10, 390), slice(10, 690))]


@pytest.mark.parametrize(
    ("first", "second"),
    [((70, 70), (70, 200)), ((70, 70), (200, 70)), ((200, 200), (70, 70))],
)
def test_what_has_an_empty_cell_between_has_rectangles_of_its_own(first, second):
    """Cells are of 64 pixels: one mask of two small objects is no work on all that lies between."""
    assert len(separate_areas(_mask([first, second]), 0.0)) == 2
    assert len(separate_areas(_mask([first, second]), 1.0)) == 1
