"""All stages together: order, neutrality, batches, objects, and the way GPU tensors take."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from segment_anywhere.core import tensors
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.masks import distance, filters, parts, refine
from segment_anywhere.core.masks.matting import follow_edges, window_radius
from segment_anywhere.core.masks.refine import Edge, Refinement
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments, compact_soft
from segment_anywhere.core.tensors import FrameArea

from tests.support.storages import NewStorages

ALL = Refinement(0.5, -1, 9, 3.5, 3.0, 5.0, Edge.GUIDED, False)
STAGES = {
    "threshold": Refinement(threshold=0.4),
    "fill_holes": Refinement(fill_holes=-1),
    "remove_islands": Refinement(remove_islands=30),
    "expand": Refinement(expand=4.5),
    "shrink": Refinement(expand=-3.0),
    "smooth": Refinement(smooth=4.0),
    "feather": Refinement(feather=6.0),
    "guided": Refinement(edge=Edge.GUIDED),
    "invert": Refinement(invert=True),
    "all": ALL,
}


def _mask(seed: int = 0, height: int = 60, width: int = 80, soft: bool = False) -> torch.Tensor:
    """Blobs with holes and islands."""
    noise = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    blobs = torch.from_numpy((blurred > np.quantile(blurred, 0.6)).astype(np.float32))
    return filters.gaussian_blur(blobs, 3.0).clamp_(0, 1) if soft else blobs


def _image(batch: int = 1, height: int = 60, width: int = 80) -> torch.Tensor:
    return torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(0))


masks = st.builds(
    lambda seed, height, width, soft: _mask(seed, height, width, soft),
    st.integers(0, 1000),
    st.integers(1, 50),
    st.integers(1, 50),
    st.booleans(),
)


@given(masks)
@hypothesis_settings(max_examples=40, deadline=None)
def test_neutral_settings_change_nothing(mask):
    assert torch.equal(refine.refine(mask[None], Refinement())[0], mask)


@given(masks)
@hypothesis_settings(max_examples=40, deadline=None)
def test_inverting_twice_is_identity(mask):
    invert = Refinement(invert=True)
    twice = refine.refine(refine.refine(mask[None], invert), invert)
    assert torch.allclose(twice[0], mask, atol=1e-6)


@given(masks, st.sampled_from(sorted(STAGES)))
@hypothesis_settings(max_examples=150, deadline=None)
def test_every_stage_on_every_mask(mask, name):
    before = mask.clone()
    image = _image(1, *mask.shape)
    refined = refine.refine(mask[None], STAGES[name], image)
    assert refined.shape == (1, *mask.shape)
    assert refined.dtype == torch.float32
    assert refined.min() >= 0 and refined.max() <= 1
    assert torch.equal(mask, before)


@pytest.mark.parametrize("name", [name for name in STAGES if name != "invert"])
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("size", [(1, 40), (40, 1), (30, 40)])
def test_empty_and_full_masks_stay(name, value, size):
    """The image's border is no contour."""
    mask = torch.full((1, *size), value)
    refined = refine.refine(mask, STAGES[name], _image(1, *size))
    assert torch.allclose(refined, mask, atol=1e-5)


def test_one_pixel_becomes_a_disc():
    mask = torch.zeros(1, 41, 41)
    mask[0, 20, 20] = 1
    grown = refine.refine(mask, Refinement(expand=10.0))
    assert (grown.sum().item() / np.pi) ** 0.5 == pytest.approx(10.5, abs=0.25)


def test_the_order_is_fixed():
    """Each stage alone, one after the other, is the whole."""
    mask, image = _mask()[None], _image()
    by_hand = mask
    for name in ("threshold", "fill_holes", "remove_islands", "expand", "smooth", "feather"):
        stage = replace(Refinement(), **{name: getattr(ALL, name)})
        by_hand = refine.refine(by_hand, stage)
    by_hand = refine.refine(by_hand, Refinement(edge=Edge.GUIDED), image)
    by_hand = refine.refine(by_hand, Refinement(invert=True))
    whole = refine.refine(mask, replace(ALL, invert=True), image)
    assert torch.allclose(whole, by_hand, atol=1 / 255)


def test_smooth_keeps_straight_edges_and_rounds_corners():
    mask = torch.zeros(60, 60)
    mask[15:45, 15:45] = 1
    smoothed = refine.smooth(mask, 6.0, soft=False)
    assert torch.equal(smoothed[25:35].round(decimals=5), mask[25:35])
    assert smoothed[15, 15] < 0.2
    stairs = torch.ones(60, 60).tril()
    steps = (refine.smooth(stairs, 4.0, soft=False) - 0.5).abs()
    # Along the diagonal the steps have become one even edge.
    assert steps.diagonal()[10:50].std() < 1e-4


def test_smooth_keeps_soft_edges_as_wide_as_they_are():
    ramp = (0.5 - (torch.arange(80) - 39.5) / 20).clamp(0, 1).expand(60, 80).contiguous()
    smoothed = refine.smooth(ramp, 4.0, soft=True)
    assert (smoothed[30] - ramp[30]).abs().max() < 0.05


@pytest.mark.parametrize("stage", [Refinement(expand=6.0), Refinement(smooth=5.0)])
def test_soft_edges_stay_soft_and_become_hard_by_the_threshold(stage):
    ramp = (0.5 - (torch.arange(80) - 39.5) / 20).clamp(0, 1).expand(60, 80).contiguous()[None]
    assert distance.edge_width(refine.refine(ramp, stage)[0]) == pytest.approx(20, rel=0.15)
    hard = refine.refine(ramp, replace(stage, threshold=0.5))[0]
    assert distance.edge_width(hard) < 1.5


def test_feather_on_convex_shapes_is_close_to_a_blur():
    """As `blur_mask` of remote providers, on a straight edge, for the same strength."""
    mask = torch.zeros(80, 80)
    mask[:, :40] = 1
    blurred = torch.from_numpy(cv2.GaussianBlur(mask.numpy(), (0, 0), 4.0))
    # A uniform ramp has the deviation of the Gaussian at a width of sqrt(12) sigma.
    feathered = refine.refine(mask[None], Refinement(feather=4.0 * 12**0.5))[0]
    assert (feathered[40] - blurred[40]).abs().max() < 0.06


def test_only_guided_edges_read_the_image():
    broken = torch.full((1, 60, 80, 3), float("nan"))
    mask = _mask()[None]
    refine.refine(mask, replace(ALL, edge=Edge.NONE), broken)
    with pytest.raises(InputError, match="image: frame 0 holds NaN"):
        refine.refine(mask, ALL, broken)
    with pytest.raises(InputError, match="image: nothing is connected, and edge is guided"):
        refine.refine(mask, ALL)


def test_a_batch_is_its_frames():
    stack = torch.stack([_mask(seed, soft=seed % 2 == 1) for seed in range(6)])
    image = _image(6)
    together = refine.refine(stack, ALL, image)
    for index in range(6):
        single = refine.refine(stack[index : index + 1], ALL, image[index : index + 1])
        assert torch.equal(together[index], single[0])


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(
    "stage",
    [
        Refinement(expand=30.0),
        Refinement(smooth=20.0),
        Refinement(feather=40.0),
        Refinement(expand=9.5, smooth=8.0, feather=25.0),
    ],
)
def test_nothing_is_cut_off_around_an_object(stage, soft, monkeypatch):
    mask = torch.zeros(1, 400, 500)
    mask[0, 150:210, 200:280] = _mask(soft=soft)
    refined = refine.refine(mask, stage)
    whole = [(slice(0, 400), slice(0, 500))]
    monkeypatch.setattr(refine, "separate_areas", lambda mask, margin: whole)
    assert torch.allclose(refined, refine.refine(mask, stage), atol=1e-5)


@pytest.mark.parametrize("name", [name for name in STAGES if name != "invert"])
def test_objects_far_apart_do_not_know_of_each_other(name):
    first, second = torch.zeros(2, 1, 500, 700)
    first[0, 20:80, 30:110], second[0, 410:470, 600:680] = _mask(1), _mask(2)
    image = _image(1, 500, 700)
    alone = [refine.refine(mask, STAGES[name], image) for mask in (first, second)]
    assert torch.equal(refine.refine(first + second, STAGES[name], image), alone[0] + alone[1])


@torch.inference_mode()
def test_threads_keep_the_hosts_inference_mode():
    assert refine.refine(_mask()[None].repeat(3, 1, 1), ALL, _image(3)).is_inference()


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", sorted(STAGES))
def test_tensor_operations_give_what_opencv_gives(name, soft, monkeypatch):
    """The way that GPU tensors take, here on the CPU."""
    mask, image = _mask(soft=soft)[None], _image()
    expected = refine.refine(mask, STAGES[name], image)
    for module in (distance, filters, tensors):
        monkeypatch.setattr(module, "uses_opencv", lambda tensor: False)
    monkeypatch.setattr(distance, "_distance_opencv", None)
    monkeypatch.setattr(cv2, "sepFilter2D", None)
    monkeypatch.setattr(cv2, "blur", None)
    refined = refine.refine(mask, STAGES[name], image)
    assert (refined - expected).abs().max() < 1 / 255


def _segments() -> Segments:
    left, right = torch.zeros(60, 80), torch.zeros(60, 80)
    left[10:40, 10:30] = 1
    right[20:50, 45:70] = 1
    instances = [
        Instance(compact_soft(left), 0.75, "cat", 0),
        Instance(compact_soft(right), 0.5, "dog", 1),
        Instance(compact((left * 128).to(torch.uint8)), 0.25, "veil", 1),
    ]
    return Segments.from_instances(instances, (60, 80), 2)


def test_objects_are_refined_on_their_own():
    refined = list(refine.refined_instances(_segments(), Refinement(expand=-4.0)))
    assert [each.label for each in refined] == ["cat", "dog", "veil"]
    assert [each.score for each in refined] == [0.75, 0.5, 0.25]
    assert [each.frame for each in refined] == [0, 1, 1]
    assert int((refined[0].mask.pixels() >= 128).sum()) == 22 * 12
    inverted = list(refine.refined_instances(_segments(), Refinement(invert=True)))
    assert torch.equal(inverted[0].mask.pixels(), 255 - _segments().mask(0))


# Wide enough for the windows of guided edges to depend on it.
LARGE = (330, 900)
corners = st.tuples(st.integers(-40, LARGE[0]), st.integers(-40, LARGE[1]))


def _placed(corner: tuple[int, int], blob: torch.Tensor) -> torch.Tensor:
    """A blob in a larger frame, cut off where it reaches over the border."""
    top, left = corner
    rows, columns = (
        slice(max(0, -start), min(length, frame - start))
        for start, length, frame in zip(corner, blob.shape, LARGE, strict=True)
    )
    frame = torch.zeros(LARGE)
    inside = blob[rows, columns]
    frame[top + rows.start :, left + columns.start :][: inside.shape[0], : inside.shape[1]] = inside
    return frame


@given(st.lists(st.tuples(corners, masks), max_size=3), st.sampled_from(sorted(STAGES)))
@hypothesis_settings(max_examples=150, deadline=None)
def test_an_object_in_its_surroundings_is_the_one_in_the_whole_frame(parts, name):
    """Of one or several parts, in the middle, at the border and in a corner.

    PyTorch's last bit depends on how memory happens to be aligned, so that what lies between two of
    the 255 steps is rounded to either.
    """
    frame = torch.zeros(LARGE)
    for corner, blob in parts:
        frame = torch.maximum(frame, _placed(corner, blob))
    mask = compact_soft(frame)
    image = _image(2, *LARGE)
    segments = Segments.from_instances([Instance(mask, 1.0, "cat", 1)], LARGE, 2)
    (alone,) = refine.refined_instances(segments, STAGES[name], image)
    whole = refine.refine(mask.pixels()[None] / 255.0, STAGES[name], image[1:])
    difference = alone.mask.pixels().int() - compact_soft(whole[0]).pixels().int()
    assert difference.abs().max() <= 1


def test_an_object_costs_what_its_rectangle_costs():
    frame = torch.zeros(2000, 3000)
    frame[900:940, 1400:1450] = 1
    instance = Instance(compact_soft(frame), 1.0, "cat", 0)
    segments = Segments.from_instances([instance], (2000, 3000), 1)
    image = torch.zeros(()).expand(1, 2000, 3000, 3)
    with NewStorages() as made:
        list(refine.refined_instances(segments, replace(ALL, edge=Edge.NONE), image))
    assert max(made.sizes) <= 4 * 256**2


def test_neutral_settings_pass_on_the_very_masks():
    segments = _segments()
    refined = list(refine.refined_instances(segments, Refinement()))
    assert all(now.mask is mask for now, mask in zip(refined, segments.masks, strict=True))
    assert [name for name in STAGES if STAGES[name].is_neutral] == []


def test_an_object_takes_the_image_of_its_frame():
    image = _image(2)
    both = list(refine.refined_instances(_segments(), ALL, image))
    mask = _segments().mask(1).float()[None] / 255
    alone = refine.refine(mask, ALL, image[1:])
    assert (both[1].mask.pixels() / 255 - alone[0]).abs().max() < 1 / 255


def _follow(mask: torch.Tensor) -> torch.Tensor:
    height, width = mask.shape
    whole = FrameArea(_image(), 0, (slice(0, height), slice(0, width)))
    return follow_edges(mask, whole, window_radius((height, width)))


ALONE = {
    "threshold": lambda mask, soft: (mask >= 0.4).float(),
    "fill_holes": lambda mask, soft: parts.fill_holes(mask, -1),
    "remove_islands": lambda mask, soft: parts.remove_islands(mask, 30),
    "expand": lambda mask, soft: _moved(mask, soft, 4.5),
    "shrink": lambda mask, soft: _moved(mask, soft, -3.0),
    "smooth": lambda mask, soft: refine.smooth(mask, 4.0, soft),
    "feather": lambda mask, soft: _moved(mask, soft, 0.0, 6.0),
    "guided": lambda mask, soft: _follow(mask),
    "invert": lambda mask, soft: 1.0 - mask,
}


def _moved(mask: torch.Tensor, soft: bool, *amounts: float) -> torch.Tensor:
    move = distance.move_levels if soft else distance.move_contour
    return move(mask, *amounts)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", ALONE)
def test_each_stage_alone_is_what_its_name_says(name, soft):
    mask = _mask(soft=soft)
    assert distance.is_soft(mask) is soft
    refined = refine.refine(mask[None], STAGES[name], _image())[0]
    assert torch.allclose(refined, ALONE[name](mask, soft), atol=1e-5)


@pytest.mark.parametrize("size", [4, 6, 10])
def test_smooth_takes_away_what_is_half_its_size_and_leaves_what_is_twice(size):
    """Of a tooth on a straight edge, by how much of it is left."""
    for side, low, high in ((size // 2, 0.2, 0.45), (size, 0.5, 0.75), (2 * size, 0.85, 1.0)):
        mask = torch.zeros(80, 80)
        mask[40:] = 1
        tooth = slice(40 - side, 40), slice(30, 30 + side)
        mask[tooth] = 1
        assert low < refine.smooth(mask, float(size), soft=False)[tooth].mean() < high, side
