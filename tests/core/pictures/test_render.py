"""Overlays."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.pictures.render import PALETTE, Drawing, Style, draw, region_colours
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments

SIZE = (120, 160)


def _segments(*squares: tuple[int, int, int], label: str = "dog", ids=None) -> Segments:
    """One 40 px square per (top, left, frame), numbered as they come."""
    instances = []
    for number, (top, left, frame) in enumerate(squares):
        mask = torch.zeros(SIZE, dtype=torch.uint8)
        mask[top : top + 40, left : left + 40] = 255
        instances.append(Instance(compact(mask), 0.5, label, frame, (ids or [*range(9)])[number]))
    return Segments.from_instances(instances, SIZE, 2)


def _draw(image: torch.Tensor, segments: Segments, **drawing) -> torch.Tensor:
    out = torch.full((segments.batch, *segments.size, 3), float("nan"))
    frames = list(draw(image, segments, Drawing(**drawing), out))
    assert len(frames) == segments.batch
    assert torch.equal(torch.stack(frames), out)
    return out


def test_objects_are_tinted_and_the_rest_left_alone():
    image = torch.full((2, *SIZE, 3), 0.5)
    drawn = _draw(image, _segments((60, 20, 1)))
    assert drawn.shape == image.shape
    assert drawn.dtype == torch.float32
    assert torch.equal(drawn[0], image[0])
    tint = torch.tensor(PALETTE[0]) / 255
    inside = drawn[1, 85, 40]
    assert torch.allclose(inside, 0.5 + (tint - 0.5) * 0.45, atol=0.01)
    assert torch.allclose(drawn[1, 110, 150], image[1, 110, 150], atol=0.005)
    assert torch.equal(image, torch.full((2, *SIZE, 3), 0.5))


def test_the_colour_follows_the_id():
    """Also where an object of the same prompt is missing before it, as in the editor."""
    image = torch.zeros(2, *SIZE, 3)
    segments = _segments((60, 10, 0), (60, 100, 0), (60, 100, 1), ids=[2, 8, 2])
    drawn = _draw(image, segments, opacity=1.0)
    colours = [drawn[0, 90, 30], drawn[0, 90, 120], drawn[1, 90, 120]]
    for colour, expected in zip(colours, (PALETTE[2], PALETTE[1], PALETTE[2]), strict=True):
        assert torch.allclose(colour * 255, torch.tensor(expected).float(), atol=1)


def test_boxes_and_labels_can_be_left_out():
    image, segments = torch.full((2, *SIZE, 3), 0.5), _segments((60, 60, 0))
    plain = _draw(image, segments, boxes=False, labels=False)
    inside = torch.zeros(SIZE, dtype=torch.bool)
    inside[60:100, 60:100] = True
    assert torch.equal((plain[0] - 0.5).abs().amax(dim=-1) > 0.01, inside)
    boxed = _draw(image, segments, labels=False)
    assert (boxed != plain).any(dim=-1)[0].sum() == 4 * 39
    labelled = _draw(image, segments, boxes=False)
    assert (labelled != plain)[0, :60].any()
    assert torch.equal(labelled[0, 60:], plain[0, 60:])


def test_a_contour_leaves_the_inside_alone():
    image, segments = torch.full((2, *SIZE, 3), 0.5), _segments((60, 60, 0), (0, 120, 1))
    plain = {"boxes": False, "labels": False, "opacity": 1.0}
    drawn = _draw(image, segments, style=Style.CONTOUR, **plain)
    changed = ((drawn - 0.5).abs() > 0.01).any(dim=-1)
    assert changed[0, 60, 62:98].all() and changed[0, 62:98, 60].all()
    assert not changed[0, 63:97, 63:97].any()
    assert not changed[0, :58].any()
    colour = torch.tensor(PALETTE[0]) / 255
    assert torch.allclose(drawn[0, 60, 80], colour, atol=0.05), "antialiased lines are thinner"
    assert changed[1, 39, 125:155].all(), "a shape in the corner has its inner edges"


def test_a_label_map_has_a_colour_for_every_object_and_nothing_else():
    small = torch.zeros(SIZE, dtype=torch.uint8)
    small[70:80, 30:40] = 255
    large = _segments((60, 20, 0), ids=[4])
    objects = [Instance(compact(small), 0.5, "b", 0, 9), *large]
    segments = Segments.from_instances(objects, SIZE, 2)
    drawn = _draw(torch.rand(2, *SIZE, 3), segments, style=Style.LABEL_MAP)
    colours = torch.tensor(region_colours(10)) / 255
    assert torch.equal(drawn[0, 75, 35], colours[9]), "the smaller one is on top"
    assert torch.equal(drawn[0, 62, 22], colours[4])
    assert not drawn[0, :60].any() and not drawn[1].any()
    assert torch.equal(drawn * 255, (drawn * 255).round())


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 120), (80, 120), (80, 0), (40, 60)])
def test_the_label_stays_inside_the_image(top, left):
    """All of it: as many black pixels wherever the object is."""
    image = torch.full((2, *SIZE, 3), 0.5)
    drawn = _draw(image, _segments((top, left, 0), label="a dog"))
    middle = _draw(image, _segments((60, 20, 0), label="a dog"))
    letters, expected = ((each[0] < 0.3).all(dim=-1).sum() for each in (drawn, middle))
    assert expected > 50
    assert letters == expected


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_rgba_images(channels):
    drawn = _draw(torch.rand(2, *SIZE, channels), _segments((60, 20, 0)))
    assert drawn.shape == (2, *SIZE, 3)


def test_soft_masks_tint_in_proportion():
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[60:100, 20:60] = 255
    mask[60:100, 40:60] = 128
    segments = Segments.from_instances([Instance(compact(mask), 0.5, "", 0)], SIZE, 1)
    drawn = _draw(torch.zeros(1, *SIZE, 3), segments, opacity=1.0)
    ratio = drawn[0, 90, 50].sum() / drawn[0, 90, 30].sum()
    assert ratio == pytest.approx(0.5, abs=0.02)


def test_an_empty_mask_and_a_one_pixel_image():
    empty = Instance(compact(torch.zeros((1, 1), dtype=torch.uint8)), 0.5, "dog", 0)
    drawn = _draw(torch.full((1, 1, 1, 3), 0.5), Segments.from_instances([empty], (1, 1), 1))
    assert drawn.shape == (1, 1, 1, 3)


@pytest.mark.parametrize("left", [0, 20, 60])
def test_the_label_begins_where_its_box_does(left):
    drawn = _draw(torch.full((2, *SIZE, 3), 0.5), _segments((60, left, 0)), boxes=False)
    (letters,) = ((drawn[0, :60] < 0.3).all(dim=-1).any(dim=0).nonzero()[:1]).tolist()
    assert left <= letters[0] < left + 10
