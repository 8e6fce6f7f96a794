"""Tiles: they cover, they sum up, they are few, and a picture put together of them is the whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.engines.matting.tiles import OVERLAP, Blend, all_tiles, needed_tiles
from segment_anywhere.core.engines.matting.vitmatte import TILE, VitMatte
from segment_anywhere.core.masks.trimap import UNKNOWN, trimap

from tests.support.matting_models import small_vitmatte

CPU = torch.device("cpu")
lengths = st.integers(1, 700)


def _disc(size: tuple[int, int], radius: float) -> torch.Tensor:
    y, x = torch.arange(size[0]) - size[0] / 2, torch.arange(size[1]) - size[1] / 2
    return (torch.hypot(x[None], y[:, None]) < radius).float()


@given(lengths, lengths, st.integers(2 * OVERLAP, 300))
def test_tiles_cover_a_picture_and_their_weights_sum_up_to_one(height, width, side):
    weights, cores = torch.zeros(height, width), torch.zeros(height, width)
    for tile in all_tiles((height, width), side):
        rows, columns = tile.area
        assert rows.stop - rows.start == min(side, height)
        assert columns.stop - columns.start == min(side, width)
        weights[tile.area] += tile.weights
        cores[tile.core] += 1
        # Whoever knows best is heard.
        assert (weights[tile.core] > 0.2).all()
    assert torch.allclose(weights, torch.ones(()), atol=1e-5)
    assert (cores == 1).all()


@given(lengths, st.integers(2 * OVERLAP, 300))
def test_tiles_overlap_enough_and_are_no_more_than_that_takes(length, side):
    spans = [tile.columns for tile in all_tiles((1, length), side)]
    for one, other in zip(spans, spans[1:], strict=False):
        assert one.stop - other.start >= OVERLAP - 1
    assert len(spans) == 1 or (len(spans) - 1) * (side - OVERLAP) + OVERLAP < length


def test_a_tile_is_needed_for_what_no_other_tile_knows_better():
    unknown = torch.zeros(300, 600, dtype=torch.bool)
    assert needed_tiles(unknown, 300) == []
    first, second, third = all_tiles((300, 600), 300)
    unknown[150, second.columns.first - 1] = True
    assert second.columns.start < second.columns.first
    assert needed_tiles(unknown, 300) == [first]
    unknown[150, second.columns.first] = True
    assert needed_tiles(unknown, 300) == [first, second]
    unknown[:, :] = True
    assert needed_tiles(unknown, 300) == [first, second, third]


@pytest.mark.parametrize(
    ("size", "band", "needed", "there"),
    [((1080, 1920), 40.0, 8, 15), ((2160, 3840), 60.0, 20, 45), ((2160, 3840), 0.0, 0, 45)],
)
def test_tiles_are_only_where_the_band_is(size, band, needed, there):
    mask = _disc(size, 0.4 * size[0]) if band else torch.ones(size)
    unknown = trimap(mask, band, size) == UNKNOWN
    assert len(needed_tiles(unknown, TILE)) == needed
    assert len(all_tiles(size, TILE)) == there


@pytest.mark.parametrize("size", [(192, 448), (448, 96)])
@torch.inference_mode()
def test_a_picture_of_tiles_is_the_whole_for_a_model_that_sees_windows_alone(size):
    """Of 16 pixels, with tiles that begin at windows; the decoder sees some pixels further."""
    model = VitMatte(small_vitmatte(patch=4, is_global=False), {}, torch.float32)
    picture = torch.rand(*size, 4, generator=torch.Generator().manual_seed(1))
    (whole,) = model.alphas([picture])
    tiles = all_tiles(size, 256)
    assert len(tiles) > 1
    blend = Blend(size, CPU)
    for tile in tiles:
        assert tile.rows.start % 16 == tile.columns.start % 16 == 0
        blend.add(tile, model.alphas([picture[tile.area]])[0])
    assert whole.std() > 0.01
    assert (blend.result() - whole).abs().max() < 1e-3
