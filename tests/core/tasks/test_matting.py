"""Masks matted: what is certain stays to the bit, and what is not is better than guided edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from segment_anywhere.core.engines.files.catalogue import MATTING
from segment_anywhere.core.engines.matting.vitmatte import TILE, VitMatte, load_matting
from segment_anywhere.core.errors import EngineError, InputError
from segment_anywhere.core.masks import refine as stages
from segment_anywhere.core.masks.matting import follow_edges
from segment_anywhere.core.masks.refine import Edge, Refinement, refine, refined_instances
from segment_anywhere.core.masks.trimap import UNKNOWN, trimap
from segment_anywhere.core.results.segments import Instance, Segments, compact_soft
from segment_anywhere.core.tasks.matting import Matter, usual_matting
from segment_anywhere.core.tasks.segmenter import Resident
from segment_anywhere.core.tensors import FrameArea

from tests.support.matting_models import small_vitmatte
from tests.support.paths import FIXTURES
from tests.support.strands import draw_strands

MATTED = Refinement(edge=Edge.MATTING)
SIZE = (200, 260)
BAND = 24.0


@pytest.fixture(scope="module")
def random_model() -> VitMatte:
    return VitMatte(small_vitmatte(), {}, torch.float32)


@pytest.fixture(scope="module")
def trained() -> VitMatte:
    return load_matting(FIXTURES / "vitmatte_tiny", torch.float32)


def _masks() -> torch.Tensor:
    """A disc, a soft disc, two boxes far from each other, nothing and all: [5, H, W]."""
    y, x = torch.arange(SIZE[0])[:, None], torch.arange(SIZE[1])[None]
    disc = (torch.hypot(x - 120.0, y - 90.0) < 50).float()
    soft = ((60 - torch.hypot(x - 120.0, y - 90.0)) / 20).clamp(0, 1)
    boxes = torch.zeros(SIZE)
    boxes[0:30, 0:30] = boxes[150:200, 200:260] = 1
    return torch.stack([disc, soft, boxes, torch.zeros(SIZE), torch.ones(SIZE)])


def _image(batch: int = 5) -> torch.Tensor:
    return torch.rand(batch, *SIZE, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("band", [0.0, BAND])
def test_outside_of_the_band_every_bit_stays(random_model, band):
    masks, image = _masks(), _image()
    refined = refine(masks, MATTED, image, Matter(random_model).edges(band))
    for mask, found in zip(masks, refined, strict=True):
        unknown = trimap(mask, band, SIZE) == UNKNOWN
        assert torch.equal(found[~unknown], mask[~unknown])
        assert not torch.equal(found, mask) or not unknown.any()
        assert found.min() >= 0 and found.max() <= 1


def test_where_all_is_certain_no_model_runs(random_model):
    matter = Matter(random_model)
    refine(_masks()[3:], MATTED, _image(2), matter.edges(BAND))
    assert matter.tiles == 0
    refine(_masks()[:2], MATTED, _image(2), matter.edges(BAND))
    assert matter.tiles == 2


def test_a_batch_is_its_frames(random_model):
    masks, image = _masks(), _image()
    edges = Matter(random_model).edges(BAND)
    together = refine(masks, MATTED, image, edges)
    for index in range(5):
        frame = slice(index, index + 1)
        assert torch.equal(together[frame], refine(masks[frame], MATTED, image[frame], edges))


def test_the_stages_before_are_what_the_model_is_given(random_model):
    masks, image, edges = _masks()[[0, 2]], _image(2), Matter(random_model).edges(BAND)
    masks[0, 80:95, 110:130] = masks[1, 170:175, 220:230] = 0.3
    earlier = Refinement(threshold=0.5, fill_holes=-1)
    expected = refine(refine(masks, earlier), MATTED, image, edges)
    assert torch.equal(refine(masks, replace(earlier, edge=Edge.MATTING), image, edges), expected)
    inverted = replace(earlier, edge=Edge.MATTING, invert=True)
    assert torch.equal(refine(masks, inverted, image, edges), 1 - expected)


def test_objects_are_matted_on_their_own_by_the_image_of_their_frame(random_model):
    masks, image, edges = _masks(), _image(), Matter(random_model).edges(BAND)
    frames = (1, 0, 2)
    objects = [Instance(compact_soft(masks[f]), 0.5, "cat", f, f) for f in frames]
    segments = Segments.from_instances(objects, SIZE, 5)
    found = list(refined_instances(segments, MATTED, image, edges))
    assert [each.frame for each in found] == list(frames)
    for each in found:
        mask = compact_soft(masks[each.frame]).pixels()[None] / 255.0
        whole = refine(mask, MATTED, image[each.frame : each.frame + 1], edges)
        difference = each.mask.pixels().int() - compact_soft(whole[0]).pixels().int()
        assert difference.abs().max() <= 1
        sure = trimap(mask[0], BAND, SIZE) != UNKNOWN
        assert torch.equal(each.mask.pixels()[sure], compact_soft(mask[0]).pixels()[sure])


def test_the_model_works_on_one_frame_at_a_time(random_model, monkeypatch):
    monkeypatch.setattr(stages, "in_threads", None)
    refine(_masks(), MATTED, _image(), Matter(random_model).edges(BAND))


@pytest.mark.parametrize("together", [1, 3])
def test_tiles_go_to_the_model_in_groups_and_an_interrupt_comes_before_each(random_model, together):
    matter, looks = Matter(random_model), []
    matter.need = Resident(together)
    mask = torch.zeros(1, 300, 1500)
    mask[:, 100:200, 100:1400] = 1
    image = torch.rand(1, 300, 1500, 3, generator=torch.Generator().manual_seed(0))
    found = refine(mask, MATTED, image, matter.edges(BAND, lambda: looks.append(matter.tiles)))
    assert matter.tiles == 4
    assert looks == list(range(0, 4, together))
    alone = refine(mask, MATTED, image, Matter(random_model).edges(BAND))
    assert (found - alone).abs().max() < 1e-5


def test_no_tile_is_larger_than_the_model_is_used_to(random_model, monkeypatch):
    seen = []
    known = random_model.alphas
    monkeypatch.setattr(
        random_model, "alphas", lambda tiles: seen.extend(t.shape for t in tiles) or known(tiles)
    )
    mask = torch.zeros(1, 700, 1200)
    mask[:, 40:660, 40:1160] = 1
    refine(mask, MATTED, torch.zeros(1, 700, 1200, 3), Matter(random_model).edges(BAND))
    assert seen and set(seen) == {(TILE, TILE, 4)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_strands_come_out_at_least_twice_as_well_as_by_guided_edges(dtype):
    """Sums of absolute differences within the band, on pictures that no training has seen, and the
    filter with the window of an image of 1080p, the better one here."""
    edges = Matter(load_matting(FIXTURES / "vitmatte_tiny", dtype)).edges(36.0)
    size, ours, guided = (192, 192), 0.0, 0.0
    for seed in range(10):
        drawn = draw_strands(seed, size, 10.0)
        mask, alpha = torch.from_numpy(drawn.mask), torch.from_numpy(drawn.alpha)
        image = torch.from_numpy(drawn.image)[None]
        unknown = trimap(mask, 36.0, size) == UNKNOWN
        whole = FrameArea(image, 0, (slice(0, size[0]), slice(0, size[1])))
        found = refine(mask[None], MATTED, image, edges)[0]
        ours += float((found - alpha).abs()[unknown].sum())
        guided += float((follow_edges(mask, whole, 12) - alpha).abs()[unknown].sum())
    assert ours <= 0.5 * guided, (ours, guided)


def test_strands_across_tiles_come_out_as_well(trained):
    """A picture of several tiles: no seams, which would be errors near the tiles' borders."""
    size = (640, 900)
    drawn = draw_strands(3, size, 14.0)
    mask, alpha = torch.from_numpy(drawn.mask), torch.from_numpy(drawn.alpha)
    matter = Matter(trained)
    image = torch.from_numpy(drawn.image)[None]
    found = refine(mask[None], MATTED, image, matter.edges(50.0))[0]
    unknown = trimap(mask, 50.0, size) == UNKNOWN
    assert matter.tiles > 2
    error = (found - alpha).abs()[unknown].mean()
    before = (mask - alpha).abs()[unknown].mean()
    assert error < 0.5 * before


@pytest.mark.parametrize("missing", [True, False])
def test_the_image_has_to_be_there_and_sound(random_model, missing):
    image = None if missing else _image() * float("nan")
    message = "image: nothing is connected, and edge is matting" if missing else "holds NaN"
    with pytest.raises(InputError, match=message):
        refine(_masks(), MATTED, image, Matter(random_model).edges(BAND))


def test_a_model_that_gives_no_numbers_is_an_error(random_model, monkeypatch):
    monkeypatch.setattr(
        random_model, "alphas", lambda tiles: torch.full((len(tiles), 8, 8), float("inf"))
    )
    with pytest.raises(EngineError, match="the matting model overflowed"):
        refine(_masks(), MATTED, _image(), Matter(random_model).edges(BAND))


def test_auto_is_the_largest_model_there_else_the_small_download(tmp_path):
    small, large, broken = (tmp_path / name for name in ("small", "large", "broken"))
    for folder, size in ((small, 10), (large, 1000)):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"0" * size)
    assert usual_matting([small, large]) == large
    broken.mkdir()
    (broken / "model.safetensors").symlink_to(Path("nowhere"))
    assert usual_matting([broken, small]) == small
    assert usual_matting([]) is MATTING[0]
