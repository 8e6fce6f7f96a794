"""The picture of agreement: its colours, its ground, its legend."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.pictures.agreement import BOTH, ONLY_A, ONLY_B, draw_agreement
from segment_anywhere.core.pictures.render import PALETTE
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments

SIZE = (240, 320)


def _segments(*columns: tuple[int, int, int], size=SIZE, value: int = 255) -> Segments:
    """One object per (first column, last column, frame), in the lower half of the image."""
    instances = []
    for left, right, frame in columns:
        mask = torch.zeros(size, dtype=torch.uint8)
        mask[size[0] // 2 :, left:right] = value
        instances.append(Instance(compact(mask), 0.5, "dog", frame))
    return Segments.from_instances(instances, size, 2)


def _draw(image, a: Segments, b: Segments, names=("a", "b")) -> torch.Tensor:
    out = torch.full((2, *a.size, 3), float("nan"))
    frames = list(draw_agreement(image, a, b, names, out))
    assert torch.equal(torch.stack(frames), out)
    return out


def _colour(number: int) -> torch.Tensor:
    return torch.tensor(PALETTE[number]) / 255


A = _segments((0, 100, 0), (50, 150, 0))
B = _segments((120, 220, 0), (0, 40, 1))


def test_both_and_either_alone_have_their_colours_on_black():
    drawn = _draw(None, A, B)
    below = drawn[:, SIZE[0] // 2 :]
    expected = torch.zeros_like(below)
    expected[0, :, :120] = _colour(ONLY_A)
    expected[0, :, 120:150] = _colour(BOTH)
    expected[0, :, 150:220] = _colour(ONLY_B)
    expected[1, :, :40] = _colour(ONLY_B)
    assert torch.allclose(below, expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_over_an_image_it_stays_visible_and_alone(channels):
    image = torch.full((2, *SIZE, channels), 0.5)
    drawn = _draw(image, A, B)
    assert torch.equal(image, torch.full((2, *SIZE, channels), 0.5))
    inside = drawn[0, 200, 130]
    assert torch.allclose(inside, 0.5 + (_colour(BOTH) - 0.5) * 0.6, atol=0.01)
    assert torch.allclose(drawn[0, 200, 300], torch.tensor(0.5), atol=0.005)


def test_soft_edges_count_from_the_middle_up():
    faint, enough = _segments((0, 40, 0), value=127), _segments((0, 40, 0), value=128)
    drawn = _draw(None, faint, enough)
    assert torch.allclose(drawn[0, 200, 20], _colour(ONLY_B), atol=1e-6)


def test_the_legend_names_the_results_in_their_colours():
    drawn = _draw(None, _segments(), _segments(), ("local", "a provider"))
    rows, columns = (drawn[0].any(dim=-1).any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
    assert rows.max() < SIZE[0] // 2 and columns.max() < SIZE[1] // 2
    first_column = drawn[0, : int(rows.max()) + 1, 0].unique(dim=0)
    expected = torch.stack([_colour(number) for number in (BOTH, ONLY_A, ONLY_B)])
    assert torch.allclose(first_column, expected[[0, 2, 1]], atol=1e-6)
    longer = _draw(None, _segments(), _segments(), ("local", "another provider"))
    assert longer[0].any(dim=-1).sum() > drawn[0].any(dim=-1).sum()


def test_no_legend_covers_a_small_picture():
    nothing = _segments(size=(40, 60))
    assert not _draw(None, nothing, nothing).any()
    assert not _draw(None, _segments(), _segments(), ("a", "b" * 999)).any()
