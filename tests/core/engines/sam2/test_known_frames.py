"""What a memory session takes from earlier ones: all that no new prompt or object changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
import torch
from segment_anywhere.core.cache import RunCache, Tensors
from segment_anywhere.core.engines.base import ClipFrame
from segment_anywhere.core.engines.sam2.engine import Sam2Engine
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from torch import Tensor

from tests.support.clip_reference import ClipReference, clip_frames, follow
from tests.support.paths import FIXTURES

REFERENCE = ClipReference(FIXTURES / "sam2_video_parity")
CLICK = ObjectPrompt("click", (Point(30, 25),))
BOX = ObjectPrompt("box", box=Box(20, 15, 60, 50))
PAIR = ObjectPrompt("pair", (Point(50, 20), Point(10, 50, positive=False)))
MASK = ObjectPrompt("mask", mask=torch.zeros(60, 80).index_fill_(0, torch.arange(20, 40), 1.0))
OTHER = ObjectPrompt("mask", mask=torch.zeros(60, 80).index_fill_(0, torch.arange(20, 41), 1.0))

Start = Mapping[int, tuple[int, ObjectPrompt]]
"""Of each object: its frame and what shows it there."""


@pytest.fixture(scope="module")
def engine() -> Sam2Engine:
    return REFERENCE.engine()


@pytest.fixture(scope="module")
def frames(engine) -> list[ClipFrame]:
    """With keys, as a segmenter gives them."""
    clip = clip_frames(engine, REFERENCE.images())
    keyed = [dataclasses.replace(each.embedding, key=f"frame {each.index}") for each in clip]
    return [
        dataclasses.replace(frame, embedding=embedding)
        for frame, embedding in zip(clip, keyed, strict=True)
    ]


class Work:
    """Frames of objects that went through the memory attention, and masks that were remembered."""

    followed = 0
    remembered = 0


@contextmanager
def counted(engine: Sam2Engine) -> Iterator[Work]:
    work = Work()

    def follow_one(module, inputs, result):
        work.followed += len(result)

    def remember_one(module, inputs, result):
        work.remembered += len(result[0])

    hooks = [
        engine.module.memory_attention.register_forward_hook(follow_one),
        engine.module.memory_encoder.register_forward_hook(remember_one),
    ]
    try:
        yield work
    finally:
        for hook in hooks:
            hook.remove()


def _run(
    engine: Sam2Engine,
    frames: list[ClipFrame],
    cache: RunCache[Tensors] | None,
    starts: Start,
    correction: tuple[int, int, ObjectPrompt] | None = None,
) -> Tensor:
    """The objects' logits on all frames, led as a run of Track Segments leads it."""
    session = engine.track(len(frames), cache)
    for number, (index, prompt) in starts.items():
        session.start(frames[index], {number: prompt})
    if correction is not None:
        index, number, prompt = correction
        for frame in frames[starts[number][0] + 1 : index]:
            session.step(frame, [number])
        session.correct(frames[index], {number: prompt})
    return follow(session, frames, list(starts))


@pytest.mark.parametrize("prompt", [CLICK, BOX, PAIR, MASK], ids=lambda prompt: prompt.label)
def test_the_same_again_is_read_and_not_followed(prompt, engine, frames):
    cache: RunCache[Tensors] = RunCache(2**30)
    starts = {1: (0, prompt), 2: (0, BOX)}
    first = _run(engine, frames, cache, starts)
    with counted(engine) as work:
        again = _run(engine, frames, cache, starts)
    assert (work.followed, work.remembered) == (0, 0)
    torch.testing.assert_close(again, first, atol=0, rtol=0)
    torch.testing.assert_close(_run(engine, frames, None, starts), first, atol=0, rtol=0)


def test_one_more_object_costs_what_it_costs_alone(engine, frames):
    cache: RunCache[Tensors] = RunCache(2**30)
    first = _run(engine, frames, cache, {1: (0, CLICK)})
    both = {1: (0, CLICK), 2: (0, BOX)}
    with counted(engine) as work:
        found = _run(engine, frames, cache, both)
    assert work.followed == len(frames) - 1
    torch.testing.assert_close(found[0], first[0], atol=0, rtol=0)
    torch.testing.assert_close(found, _run(engine, frames, None, both), atol=1e-4, rtol=0)


def test_the_way_to_a_correction_is_known(engine, frames):
    cache: RunCache[Tensors] = RunCache(2**30)
    starts = {1: (0, CLICK)}
    _run(engine, frames, cache, starts)
    with counted(engine) as work:
        found = _run(engine, frames, cache, starts, (6, 1, PAIR))
    # The correction itself, and all frames but the two that somebody showed the object on.
    assert work.followed == 1 + len(frames) - 2
    fresh = _run(engine, frames, None, starts, (6, 1, PAIR))
    torch.testing.assert_close(found, fresh, atol=0, rtol=0)
    with counted(engine) as work:
        _run(engine, frames, cache, starts, (6, 1, PAIR))
    assert work.followed == 0


CHANGES = {
    "another click": {1: (0, PAIR)},
    "another frame": {1: (3, CLICK)},
    "a box": {1: (0, BOX)},
    "a mask of the same size": {1: (0, OTHER)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_object_is_never_taken_from_before(change, engine, frames):
    cache: RunCache[Tensors] = RunCache(2**30)
    _run(engine, frames, cache, {1: (0, CLICK)})
    _run(engine, frames, cache, {1: (0, MASK)})
    found = _run(engine, frames, cache, CHANGES[change])
    fresh = _run(engine, frames, None, CHANGES[change])
    torch.testing.assert_close(found, fresh, atol=0, rtol=0)


def test_another_picture_on_one_frame_changes_what_comes_after_it(engine, frames):
    cache: RunCache[Tensors] = RunCache(2**30)
    starts = {1: (0, CLICK)}
    _run(engine, frames, cache, starts)
    other = dataclasses.replace(frames[9], index=4)
    changed = [*frames[:4], other, *frames[5:]]
    with counted(engine) as work:
        found = _run(engine, changed, cache, starts)
    assert work.followed == len(frames) - 4
    fresh = _run(engine, changed, None, starts)
    torch.testing.assert_close(found, fresh, atol=0, rtol=0)


@pytest.mark.parametrize("most", [1, 2**14])
def test_a_cache_that_is_too_small_changes_nothing(most, engine, frames):
    starts = {1: (0, CLICK), 2: (2, BOX)}
    expected = _run(engine, frames, None, starts)
    cache: RunCache[Tensors] = RunCache(most)
    for _ in range(2):
        cache.begin_run()
        torch.testing.assert_close(_run(engine, frames, cache, starts), expected, atol=1e-4, rtol=0)


def test_a_clip_of_another_length_is_followed_anew(engine, frames):
    """In clips of fewer than 16 frames their number counts, in a correction too."""
    asked = ({1: (0, CLICK)}, (6, 1, PAIR))
    used: RunCache[Tensors] = RunCache(2**30)
    _run(engine, frames, used, *asked)
    counts = []
    for cache in (used, RunCache[Tensors](2**30)):
        with counted(engine) as work:
            _run(engine, frames[:8], cache, *asked)
        counts.append(work.followed)
    assert counts[0] == counts[1] > 8
