"""The way through a clip: which frames a session sees, in which order, and what is kept of it."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments
from segment_anywhere.core.tasks.key_frames import read_subjects
from segment_anywhere.core.tasks.segmenter import Segmenter
from segment_anywhere.core.tasks.track_report import track_json, track_line
from segment_anywhere.core.tasks.tracking import (
    Direction,
    Sharing,
    TrackSettings,
    Words,
    follow,
)

from tests.support.colour_tracker import ColourEngine

H, W = 20, 30
COLOURS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def _clip(frames: int = 6, objects: int = 2, hidden: tuple[tuple[int, int], ...] = ()):
    """Plain squares of 4x4 that move a pixel to the right each frame, and their masks.

    hidden: (object, frame) where it is not seen.
    """
    image = torch.zeros(frames, H, W, 3)
    masks = torch.zeros(objects, frames, H, W, dtype=torch.bool)
    for number in range(objects):
        for frame in range(frames):
            if (number, frame) not in hidden:
                area = (slice(2 + 6 * number, 6 + 6 * number), slice(3 + frame, 7 + frame))
                image[frame][area] = COLOURS[number]
                masks[number, frame][area] = True
    return image, masks


def _click(number: int, frame: int) -> ObjectPrompt:
    point = Point(4.0 + frame, 3.0 + 6 * number, object=number)
    return ObjectPrompt(f"object {number + 1}", (point,), number=number)


def _follow(image, prompts, looks_ahead=True, found=None, **settings):
    engine = ColourEngine(looks_ahead)
    subjects = read_subjects(prompts, found, len(image), (H, W))
    steps: list[int] = []
    tracks = follow(
        Segmenter(engine),
        image,
        subjects,
        TrackSettings(**settings),
        lambda total: partial(steps.append, total),
    )
    return tracks, engine.sessions[0].calls, steps


def _kept(tracks) -> dict[int, list[int]]:
    """The frames on which each object was found."""
    frames: dict[int, list[int]] = {}
    for instance in tracks.segments:
        frames.setdefault(instance.id, []).append(instance.frame)
    return frames


@pytest.mark.parametrize("looks_ahead", [False, True])
@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        (Direction.BOTH, {0: [0, 1, 2, 3, 4, 5], 1: [0, 1, 2, 3, 4, 5]}),
        (Direction.FORWARD, {0: [1, 2, 3, 4, 5], 1: [4, 5]}),
        (Direction.BACKWARD, {0: [0, 1], 1: [0, 1, 2, 3, 4]}),
    ],
)
def test_which_frames_an_object_is_followed_through(direction, expected, looks_ahead):
    image, masks = _clip()
    prompts = {1: [_click(0, 1)], 4: [_click(1, 4)]}
    tracks, _, steps = _follow(image, prompts, looks_ahead, direction=direction)
    assert _kept(tracks) == expected
    assert tracks.segments.batch == 6
    for instance in tracks.segments:
        assert torch.equal(instance.mask.pixels() > 0, masks[instance.id, instance.frame])
    frames = tracks.segments.frames.tolist()
    assert frames == sorted(frames)
    # The progress is that of as many steps as were announced.
    assert set(steps) == {len(steps)}


def test_a_session_that_looks_ahead_sees_all_key_frames_first():
    image, _ = _clip()
    prompts = {0: [_click(0, 0)], 2: [_click(1, 2)], 3: [_click(0, 3)]}
    _, calls, _ = _follow(image, prompts, direction=Direction.FORWARD)
    # Up to the correction, and no other object is followed for it.
    first = [
        ("start", 0, [0]),
        ("step", 1, [0]),
        ("start", 2, [1]),
        ("step", 2, [0]),
        ("correct", 3, [0]),
        ("pass",),
    ]
    assert calls[:6] == first
    assert calls[6:] == [
        *(("step", index, [0]) for index in (0, 1)),
        *(("step", index, [0, 1]) for index in (2, 3, 4, 5)),
    ]


def test_a_session_that_does_not_is_corrected_on_its_way():
    image, _ = _clip()
    prompts = {0: [_click(0, 0)], 3: [_click(0, 3)]}
    _, calls, _ = _follow(image, prompts, looks_ahead=False, direction=Direction.FORWARD)
    assert calls == [
        ("pass",),
        ("start", 0, [0]),
        *(("step", index, [0]) for index in (1, 2)),
        ("correct", 3, [0]),
        *(("step", index, [0]) for index in (4, 5)),
    ]


@pytest.mark.parametrize("later", ["box", "mask"])
def test_a_box_or_a_mask_on_a_later_frame_says_anew_where_the_object_is(later):
    image, masks = _clip()
    again = ObjectPrompt("object 0", (Point(8.0, 3.0),), Box(6, 1, 12, 7))
    if later == "mask":
        again = ObjectPrompt("object 0", mask=masks[0, 4].float())
    _, calls, _ = _follow(image, {0: [_click(0, 0)], 4: [again]}, direction=Direction.FORWARD)
    # Nothing has to be followed to there.
    assert calls[:3] == [("start", 0, [0]), ("start", 4, [0]), ("pass",)]


def test_backward_begins_at_the_last_key_frame():
    image, _ = _clip()
    prompts = {1: [_click(0, 1)], 4: [_click(0, 4)]}
    _, calls, _ = _follow(image, prompts, looks_ahead=False, direction=Direction.BACKWARD)
    assert [call[:2] for call in calls if call != ("pass",)] == [
        ("start", 4),
        ("step", 3),
        ("step", 2),
        ("correct", 1),
        ("step", 0),
    ]


def test_the_way_back_begins_before_the_first_key_frame_of_each():
    image, _ = _clip()
    _, calls, _ = _follow(image, {1: [_click(0, 1)], 3: [_click(1, 3)]})
    back = calls[len(calls) - calls[::-1].index(("pass",)) :]
    assert back == [("step", 2, [1]), ("step", 1, [1]), ("step", 0, [0, 1])]


def test_a_drawn_mask_stays_as_it_is_on_its_frame():
    image, masks = _clip(objects=1)
    soft = masks[0, 2].float() * 0.6
    tracks, _, _ = _follow(image, {2: [ObjectPrompt("object 0", mask=soft)]})
    on_key = next(each for each in tracks.segments if each.frame == 2)
    assert int(on_key.mask.pixels().max()) == round(0.6 * 255)
    assert _kept(tracks) == {0: [0, 1, 2, 3, 4, 5]}


def test_objects_that_overlap():
    image = torch.zeros(2, H, W, 3)
    image[:, 5:15, 5:25] = torch.tensor([0.5, 0.4, 0.0])
    image[:, 5:15, 20:25] = torch.tensor([0.4, 0.5, 0.0])
    prompts = {
        0: [
            ObjectPrompt("object 0", (Point(6, 6),), number=0),
            ObjectPrompt("object 1", (Point(22, 6),), number=1),
        ]
    }
    both, _, _ = _follow(image, prompts, sharing=Sharing.KEEP)
    assert both.segments.areas().tolist() == [200, 200, 200, 200]
    apart, _, _ = _follow(image, prompts, sharing=Sharing.BEST)
    assert apart.segments.areas().tolist() == [150, 50, 150, 50]


def test_most_objects():
    image, _ = _clip()
    tracks, _, _ = _follow(image, {0: [_click(0, 0), _click(1, 0)]}, max_objects=1)
    assert list(_kept(tracks)) == [0]


def test_nothing_to_follow_embeds_the_first_frame():
    image, _ = _clip()
    engine = ColourEngine(True)
    segmenter = Segmenter(engine)
    tracks = follow(segmenter, image, [])
    assert (len(tracks.segments), tracks.segments.batch, tracks.records) == (0, 6, [])
    assert segmenter.counters.encodes == 1
    assert track_line(tracks).startswith("nothing to follow")


def test_a_frame_that_holds_nan_is_named():
    image, _ = _clip()
    image[3, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="frame 3 holds NaN"):
        _follow(image, {0: [_click(0, 0)]})


def test_a_frame_is_encoded_once():
    image, _ = _clip()
    engine = ColourEngine(True)
    segmenter = Segmenter(engine)
    prompts = {2: [_click(0, 2)], 4: [_click(0, 4), _click(1, 4)]}
    follow(segmenter, image, read_subjects(prompts, None, 6, (H, W)))
    assert segmenter.counters.encodes == 6


def _words(masks, every: int, looks: list[int]) -> Words:
    def find(index: int) -> Segments:
        looks.append(index)
        instances = [
            Instance(compact(mask[index]), 0.9, "square", 0) for mask in masks if mask.any()
        ]
        return Segments.from_instances([i for i in instances if i.mask], (H, W), 1)

    return Words(find, every)


@pytest.mark.parametrize(
    ("every", "looked", "kept"),
    [
        (0, [0], {0: [0, 1, 2, 3, 4, 5]}),
        (2, [0, 2, 4], {0: [0, 1, 2, 3, 4, 5], 1: [1, 2, 3, 4, 5]}),
    ],
)
def test_what_is_new_is_followed_both_ways(every, looked, kept):
    image, masks = _clip(hidden=((1, 0),))
    looks: list[int] = []
    words = _words(masks, every, looks)
    tracks, _, _ = _follow(image, {}, words=words)
    assert looks == looked
    assert _kept(tracks) == kept
    assert set(tracks.segments.labels) == {"square"}


def test_what_is_followed_already_is_not_new():
    image, masks = _clip()
    words = _words(masks, 1, [])
    tracks, calls, _ = _follow(image, {0: [_click(0, 0)]}, words=words)
    assert _kept(tracks) == {0: [0, 1, 2, 3, 4, 5], 1: [0, 1, 2, 3, 4, 5]}
    assert [call for call in calls if call[0] == "start"] == [
        ("start", 0, [0]),
        ("start", 0, [1]),
    ]
    assert set(tracks.segments.labels) == {"object 1", "square"}


def test_the_bound_of_objects_holds_for_them_too():
    image, masks = _clip()
    words = _words(masks, 1, [])
    tracks, _, _ = _follow(image, {0: [_click(0, 0)]}, words=words, max_objects=1)
    assert list(_kept(tracks)) == [0]


def test_what_became_of_the_objects():
    image, _ = _clip(hidden=((0, 2), (0, 3)))
    tracks, _, _ = _follow(image, {0: [_click(0, 0), _click(1, 0)]})
    first, second = json.loads(track_json(tracks))["objects"]
    assert first == {
        "id": 0,
        "label": "object 1",
        "first_frame": 0,
        "last_frame": 5,
        "frames_lost": 2,
        "lowest_score": 1.0,
    }
    assert second["lowest_score"] == pytest.approx(0.9)
    assert track_line(tracks) == (
        "2 objects followed through 6 frames by colour; object 1 is lost on 2 frames"
    )
