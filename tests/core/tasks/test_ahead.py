"""Frames in groups: what goes together, what is encoded, and what is made ready meanwhile."""

from __future__ import annotations

import threading

import pytest
import torch
from segment_anywhere.core.engines.base import Embedding, Prepared
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.tasks import ahead
from segment_anywhere.core.tasks import segmenter as segmenter_module
from segment_anywhere.core.tasks.ahead import Waiting, grouped, prepare_pinned
from segment_anywhere.core.tasks.segmenter import Part, Segmenter
from segment_anywhere.core.tensors import rgb_frames
from segment_anywhere.core.threads import one_ahead

from tests.support.engines import engine_of

IMAGE = torch.rand(7, 48, 64, 3, generator=torch.Generator().manual_seed(0))


class _Host:
    """Has room for so many images, and notes for how many it is asked."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.asked: list[tuple[Part, int]] = []

    def __call__(self, part: Part, count: int) -> None:
        self.asked.append((part, count))

    def at_once(self) -> int:
        return self.room


def _segmenter(room: int) -> Segmenter:
    segmenter = Segmenter(engine_of("sam2"))
    segmenter.need = _Host(room)
    return segmenter


def _encoded(segmenter: Segmenter, image: torch.Tensor = IMAGE) -> tuple[list[Embedding], list]:
    """The embeddings of a batch, and how many images the encoder took at a time."""
    segmenter.need.asked.clear()
    frames = list(segmenter.embed_all(rgb_frames(image)))
    assert [frame.index for frame in frames] == list(range(len(image)))
    assert all(torch.equal(frame.pixels, image[frame.index]) for frame in frames)
    assert {part for part, _ in segmenter.need.asked} <= {Part.ENCODER}
    return [frame.embedding for frame in frames], [count for _, count in segmenter.need.asked]


@pytest.mark.parametrize(("room", "sizes"), [(1, [1] * 7), (4, [4, 3]), (8, [7])])
def test_as_many_go_together_as_there_is_room_for(room, sizes):
    embeddings, asked = _encoded(_segmenter(room))
    assert asked == sizes
    alone, _ = _encoded(_segmenter(1))
    for ours, expected in zip(embeddings, alone, strict=True):
        assert ours.key == expected.key
        torch.testing.assert_close(ours.features, expected.features, atol=1e-4, rtol=1e-4)


def test_what_is_known_is_not_encoded_again():
    segmenter = _segmenter(4)
    _encoded(segmenter, IMAGE[1:3])
    embeddings, asked = _encoded(segmenter)
    assert asked == [2, 3]
    assert embeddings[1] is segmenter.cache.get(embeddings[1].key)
    assert _encoded(segmenter)[1] == []


@pytest.mark.parametrize("places", [[0, 0, 1, 0], [0, 1, 0, 1, 0, 0]])
def test_equal_frames_are_encoded_once(places):
    """Within a group, and in the next one, which is made ready before the first is encoded."""
    segmenter = _segmenter(4)
    embeddings, asked = _encoded(segmenter, IMAGE[places])
    assert asked == [2]
    assert len({embedding.key for embedding in embeddings}) == 2


def test_keys_that_are_known_are_not_made_again():
    segmenter = _segmenter(4)
    keys = [f"frame {index}" for index in range(7)]
    found = segmenter.embed_all(rgb_frames(IMAGE), keys)
    assert [frame.embedding.key for frame in found] == keys


def _waiting(ready: Embedding | Prepared) -> Waiting:
    return Waiting(0, torch.zeros(0), "", ready)


def _prepared(nbytes: int, size: tuple[int, int] = (1, 1)) -> Waiting:
    return _waiting(Prepared(torch.zeros(nbytes, dtype=torch.uint8), size))


KNOWN = _waiting(Embedding((torch.zeros(99),), (1, 1)))


@pytest.mark.parametrize(
    ("waiting", "sizes"),
    [
        ([], []),
        ([_prepared(1)] * 7, [3, 3, 1]),
        ([_prepared(1), _prepared(1, (1, 2)), _prepared(1, (1, 2)), _prepared(1)], [1, 2, 1]),
        ([_prepared(6), _prepared(4), _prepared(1)], [2, 1]),
        ([_prepared(40), _prepared(4)], [1, 1]),
        ([_prepared(10), KNOWN, KNOWN, KNOWN], [3, 1]),
    ],
)
def test_neighbours_of_one_size_that_fit(waiting, sizes, monkeypatch):
    monkeypatch.setattr(ahead, "_GROUP_BYTES", 10)
    groups = list(grouped(waiting, 3))
    assert [len(group) for group in groups] == sizes
    assert [each for group in groups for each in group] == waiting


def test_one_is_made_ready_ahead_and_no_more():
    made = []
    second = threading.Event()

    def numbers():
        for number in range(4):
            made.append((number, threading.current_thread(), torch.is_inference_mode_enabled()))
            if number == 1:
                second.set()
            yield number

    with torch.inference_mode():
        walk = one_ahead(numbers())
        assert next(walk) == 0
        assert second.wait(60), "the second is not made while the first is worked on"
        assert list(walk) == [1, 2, 3]
    assert [number for number, _, _ in made] == [0, 1, 2, 3]
    assert {thread for _, thread, _ in made} != {threading.current_thread()}
    assert all(inference for _, _, inference in made)


def test_a_single_frame_is_made_ready_by_no_thread(monkeypatch):
    """Memory that a GPU reads by itself takes longer to get than one frame to copy."""
    pinned = []
    monkeypatch.setattr(segmenter_module, "prepare_pinned", lambda *_: pinned.append(1))
    segmenter = _segmenter(4)
    assert _encoded(segmenter, IMAGE[:1])[1] == [1]
    assert list(segmenter.embed_all([])) == []
    assert not pinned


def test_an_error_comes_in_its_turn():
    image = IMAGE.clone()
    image[5] = torch.nan
    segmenter = _segmenter(4)
    walk = segmenter.embed_all(rgb_frames(image))
    assert [next(walk).index for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(InputError, match="frame 5 holds NaN"):
        next(walk)


def test_whoever_stops_leaves_no_thread_behind():
    before = threading.active_count()
    walk = _segmenter(2).embed_all(rgb_frames(IMAGE))
    next(walk)
    walk.close()
    assert threading.active_count() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_a_frame_stays_where_it_is():
    engine = engine_of("sam2")
    assert prepare_pinned(engine.prepare, IMAGE[0]).pixels.data_ptr() == IMAGE.data_ptr()
