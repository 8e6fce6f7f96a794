"""Objects as SEGS of the Impact Pack and back."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments, union_masks
from segment_anywhere.core.results.segs import Cropping, crop_region, from_segs, to_segs
from segment_anywhere.core.segs import Seg
from torch import Tensor

SIZE = (40, 60)
# As another pack has it: the same fields, another class.
FIELDS = "cropped_image cropped_mask confidence crop_region bbox label control_net_wrapper"
TheirSeg = namedtuple("TheirSeg", FIELDS)


def _theirs(mask, region=(10, 5, 30, 25), bbox=(12, 7, 20, 15), **fields):
    values = {"confidence": 0.5, "label": "face", **fields}
    return TheirSeg(None, mask, crop_region=region, bbox=bbox, control_net_wrapper=None, **values)


def _square(kind=np.float32):
    mask = np.zeros((20, 20), np.float32)
    mask[2:10, 2:10] = 1
    return mask if kind is np.float32 else kind(mask)


def _blob(seed: int, hard: bool = True) -> Tensor:
    """Some pixels of a part of the image, 0..255."""
    generator = torch.Generator().manual_seed(seed)
    top, left = torch.randint(0, 25, (2,), generator=generator).tolist()
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    part = torch.randint(0, 256, (12, 17), generator=generator, dtype=torch.uint8)
    mask[top : top + 12, left : left + 17] = (part > 127) * 255 if hard else part
    return mask


def _segments(hard: bool = True, batch: int = 2) -> Segments:
    instances = [
        Instance(compact(_blob(10 * frame + n, hard)), 0.25 * (n + 1), label, frame, 7 - n)
        for frame in range(batch)
        for n, label in enumerate(("dog", "cat", "dog"))
    ]
    return Segments.from_instances(instances, SIZE, batch)


def _same(one: Segments, other: Segments) -> bool:
    return (
        torch.equal(one.full_masks(), other.full_masks())
        and one.labels == other.labels
        and torch.equal(one.scores, other.scores)
        and torch.equal(one.frames, other.frames)
        and torch.equal(one.ids, other.ids)
        and (one.size, one.batch) == (other.size, other.batch)
    )


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("factor", [1.0, 1.7, 3.0, 100.0])
def test_a_round_trip_changes_nothing(hard, factor):
    segments = _segments(hard)
    there = to_segs(segments, range(2), Cropping(factor))
    assert _same(from_segs(there), segments)


def test_what_a_seg_holds():
    image = torch.rand(1, *SIZE, 4, generator=torch.Generator().manual_seed(0))
    segments = _segments()
    for frame, (size, found) in enumerate(to_segs(segments, [0, 1], Cropping(), image)):
        assert size == SIZE
        for seg, one in zip(found, (s for s in segments if s.frame == frame), strict=True):
            x1, y1, x2, y2 = seg.crop_region
            assert seg.cropped_mask.dtype == seg.cropped_image.dtype == np.float32
            assert seg.cropped_mask.shape == (y2 - y1, x2 - x1)
            assert np.array_equal(seg.cropped_image, image[:, y1:y2, x1:x2, :3].numpy())
            whole = np.zeros(SIZE, np.float32)
            whole[y1:y2, x1:x2] = seg.cropped_mask
            assert np.array_equal(whole, one.mask.pixels().numpy() / np.float32(255))
            assert seg.bbox == one.mask.box()
            assert (seg.confidence, seg.label, seg.id) == (one.score, one.label, one.id)
            assert seg.control_net_wrapper is None
            assert len(seg) == 7 == len(TheirSeg._fields) and seg._fields == TheirSeg._fields


def test_a_detailer_may_write_into_the_crop():
    image = torch.zeros(2, *SIZE, 3)
    ((_, found),) = to_segs(_segments(), [1], Cropping(), image)
    found[0].cropped_image[:] = 1
    assert not image.any()


@pytest.mark.parametrize("hard", [True, False])
def test_the_combined_mask_of_the_impact_pack_is_our_union(hard):
    """As its `segs_to_combined_mask` makes it: bytes, cut off and joined by their bits."""
    segments = _segments(hard)
    if not hard:
        # The bits of two soft masks are not their maximum: only one object to a frame.
        segments = Segments.from_instances([next(iter(segments))], SIZE, 2)
    unions = union_masks(segments)
    for frame, (size, found) in enumerate(to_segs(segments, [0, 1], Cropping())):
        combined = np.zeros(size, np.uint8)
        for seg in found:
            x1, y1, x2, y2 = seg.crop_region
            combined[y1:y2, x1:x2] |= (seg.cropped_mask * 255).astype(np.uint8)
        assert np.array_equal(combined.astype(np.float32) / 255.0, unions[frame].numpy())


@given(
    left=st.integers(0, 59),
    top=st.integers(0, 39),
    width=st.integers(1, 60),
    height=st.integers(1, 40),
    factor=st.floats(1.0, 20.0),
)
def test_a_crop_holds_its_object_and_lies_in_the_image(left, top, width, height, factor):
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[top : top + height, left : left + width] = 255
    packed = compact(mask)
    x1, y1, x2, y2 = crop_region(packed, factor)
    left, top, right, bottom = packed.box()
    assert 0 <= x1 <= left < right <= x2 <= 60
    assert 0 <= y1 <= top < bottom <= y2 <= 40
    assert x2 - x1 == min(round((right - left) * factor), 60)
    assert y2 - y1 == min(round((bottom - top) * factor), 40)


def test_a_crop_is_about_the_middle_of_its_object_where_there_is_room():
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[16:20, 20:26] = 255
    assert crop_region(compact(mask), 3.0) == (14, 12, 32, 24)


def test_small_objects_are_left_out_by_the_shorter_side_of_their_box():
    masks = []
    for height, width in ((4, 9), (5, 5), (9, 4), (6, 5)):
        mask = torch.zeros(SIZE, dtype=torch.uint8)
        mask[:height, :width] = 255
        masks.append(Instance(compact(mask), 1.0, f"{height}x{width}", 0))
    segments = Segments.from_instances(masks, SIZE, 1)
    ((_, found),) = to_segs(segments, [0], Cropping(min_size=5))
    assert [seg.label for seg in found] == ["5x5", "6x5"]


@pytest.mark.parametrize(
    "mask",
    [
        _square(),
        _square(torch.from_numpy),
        _square(lambda m: torch.from_numpy(m)[None]),
        _square(lambda m: torch.from_numpy(m).half()),
        _square(lambda m: m.astype(np.float64)),
        _square(lambda m: m.astype(bool)),
        _square(lambda m: (m * 255).astype(np.uint8)),
        _square(lambda m: m.astype(np.uint8)),
        _square(lambda m: m.astype(np.int64)),
        _square(lambda m: m[::-1].copy()[::-1]),
        _square(lambda m: m.tolist()),
        _square(lambda m: torch.from_numpy(m).requires_grad_()),
    ],
)
def test_masks_of_any_kind_are_read(mask):
    segments = from_segs([(SIZE, [_theirs(mask)])])
    expected = torch.zeros(SIZE)
    expected[7:15, 12:20] = 1
    assert torch.equal(union_masks(segments)[0], expected)
    assert segments.labels == ("face",) and segments.scores.tolist() == [0.5]


@pytest.mark.parametrize(
    ("confidence", "score"),
    [
        (None, 1.0),
        (np.array([0.25], np.float32), 0.25),
        (torch.tensor(0.25), 0.25),
        (np.float32(0.25), 0.25),
        (np.zeros(0), 1.0),
        (7, 1.0),
        (-1.0, 0.0),
    ],
)
def test_confidences_of_any_kind_are_read(confidence, score):
    segments = from_segs([(SIZE, [_theirs(_square(), confidence=confidence)])])
    assert segments.scores.tolist() == [score]


@pytest.mark.parametrize(
    ("seg", "box"),
    [
        # A mask of another size is scaled to its region.
        (_theirs(np.ones((5, 5), np.float32)), (10, 5, 30, 25)),
        # What lies outside the image is cut off.
        (_theirs(np.ones((20, 20), np.float32), region=(-5, 30, 15, 50)), (0, 30, 15, 40)),
        # Boxes of numpy and torch, and of fractions.
        (_theirs(np.ones((20, 20)), region=np.array([10, 5, 30, 25])), (10, 5, 30, 25)),
        (_theirs(np.ones((20, 20)), region=torch.tensor([9.8, 5.1, 30.2, 25])), (10, 5, 30, 25)),
        # Without a mask the box is one, without that its region.
        (_theirs(None), (12, 7, 20, 15)),
        (_theirs(None, bbox=None), (10, 5, 30, 25)),
        (_theirs(None, bbox=(12.4, 6.6, 19.7, 15)), (12, 7, 20, 15)),
        (_theirs(None, bbox=(0, 0, 15, 9)), (10, 5, 15, 9)),
        # Without a region the image, where the mask is as large, else the box.
        (_theirs(np.ones(SIZE, np.float32), region=None), (0, 0, 60, 40)),
        (_theirs(np.ones((8, 8), np.float32), region=None), (12, 7, 20, 15)),
    ],
)
def test_where_an_object_lies(seg, box):
    segments = from_segs([(SIZE, [seg])])
    assert segments.boxes.tolist() == [list(box)]


def test_a_label_that_is_missing_is_the_place():
    found = [_theirs(_square(), label=label) for label in (None, " ", "dog", 3)]
    assert from_segs([(SIZE, found)]).labels == ("object 1", "object 2", "dog", "3")


def test_objects_of_others_are_numbered_by_label_and_place_after_ours():
    ((_, ours),) = to_segs(_segments(batch=1), [0], Cropping())
    theirs = [_theirs(_square(), label=label) for label in ("dog", "cat", "dog")]
    assert from_segs([(SIZE, theirs), (SIZE, theirs)]).ids.tolist() == [0, 2, 1, 0, 2, 1]
    assert from_segs([(SIZE, [*ours, *theirs])]).ids.tolist() == [7, 6, 5, 8, 10, 9]
    # As their nodes make a new one of ours.
    rebuilt = [Seg(*seg) for seg in ours]
    assert from_segs([(SIZE, rebuilt)]).ids.tolist() == [0, 2, 1]


def test_two_results_joined_have_no_id_twice():
    frames = to_segs(_segments(), [0, 1], Cropping())
    joined = [(size, [*found, *found]) for size, found in frames]
    assert from_segs(joined).ids.tolist() == [7, 6, 5, 8, 10, 9] * 2


def test_what_is_empty_or_outside_is_left_out():
    found = [
        _theirs(np.zeros((20, 20), np.float32)),
        _theirs(np.ones((20, 20), np.float32), region=(70, 5, 90, 25)),
        _theirs(_square()),
    ]
    segments = from_segs([(SIZE, found), (SIZE, [])])
    assert (len(segments), segments.batch) == (1, 2)


def test_the_masks_of_a_clip_are_one_object_on_each_of_its_frames():
    clip = torch.zeros(3, 20, 20)
    clip[0, 2:10, 2:10] = 1
    clip[2, 4:12, 4:12] = 1
    segments = from_segs([(SIZE, [_theirs(clip), _theirs(_square(), label="still")])])
    assert segments.batch == 3
    assert segments.frames.tolist() == [0, 2, 0, 1, 2]
    assert segments.ids.tolist() == [0, 0, 1, 1, 1]
    assert segments.boxes[1].tolist() == [14, 9, 22, 17]


def test_the_size_of_the_images_decides():
    segments = from_segs([(SIZE, [_theirs(_square())]), ((0, 0), [])], (80, 120))
    assert (segments.size, segments.batch) == ((80, 120), 2)
    assert segments.boxes.tolist() == [[24, 14, 40, 30]]
    assert from_segs([((0, 0), []), (SIZE, [])]).size == SIZE


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None], "segs: found a NoneType; accepted is SEGS"),
        ([torch.zeros(2, 3)], "found a Tensor"),
        ([(SIZE, [(1, 2, 3, 4)])], "found a tuple"),
        ([(SIZE, [_theirs(_square())]), ((9, 9), [])], "found 9 x 9 and 60 x 40 as the size"),
        ([((0, 0), [])], "found none as the size of the images.*Connect the images"),
        (
            [(SIZE, [_theirs(torch.ones(2, 20, 20)), _theirs(torch.ones(3, 20, 20))])],
            "masks of 2 and of 3 frames in one SEGS",
        ),
        ([(SIZE, [_theirs(np.full((20, 20), np.nan))])], "segs.cropped_mask: holds NaN"),
        ([(SIZE, [_theirs(np.zeros((0, 20)))])], r"segs.cropped_mask: found a tensor of shape"),
        ([(SIZE, [_theirs(_square(), confidence=float("nan"))])], "NaN as the confidence"),
        ([(SIZE, [_theirs(_square(), region=(1, 2))])], r"found \[1, 2\] as the box"),
        ([(SIZE, [_theirs(_square(), region=None, bbox=None)])], "without crop_region and bbox"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(values, message):
    with pytest.raises(InputError, match=message):
        from_segs(values)
