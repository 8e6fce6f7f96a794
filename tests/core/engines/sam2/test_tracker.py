"""What a memory session holds and forgets, whichever way the frames come."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from segment_anywhere.core.engines.base import ClipFrame
from segment_anywhere.core.engines.sam2.bank import Bank, Trace
from segment_anywhere.core.engines.sam2.engine import Sam2Engine
from segment_anywhere.core.engines.sam2.tracker import MemorySession
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from torch import Tensor

from tests.support.clip_reference import ClipReference, clip_frames, follow
from tests.support.paths import FIXTURES

REFERENCE = ClipReference(FIXTURES / "sam2_video_parity")
CLICK = ObjectPrompt("click", (Point(30, 25),))
BOX = ObjectPrompt("box", box=Box(20, 15, 60, 50))
PAIR = ObjectPrompt("pair", (Point(50, 20), Point(10, 50, positive=False)))


@pytest.fixture(scope="module")
def engine() -> Sam2Engine:
    return REFERENCE.engine()


@pytest.fixture(scope="module")
def frames(engine) -> list[ClipFrame]:
    return clip_frames(engine, REFERENCE.images())


def _long_clip(frames: list[ClipFrame], count: int) -> list[ClipFrame]:
    """The clip there and back, again and again."""
    there_and_back = [*frames, *frames[-2:0:-1]]
    places = range(count)
    return [
        dataclasses.replace(there_and_back[at % len(there_and_back)], index=at) for at in places
    ]


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif type(value).__module__.startswith("segment_anywhere.core.engines.sam2") and not (
        isinstance(value, Sam2Engine)
    ):
        yield from _tensors(vars(value))


def _bytes_of(session: MemorySession) -> int:
    """What a session holds beside the model."""
    kept = {name: value for name, value in vars(session).items() if name not in _MODEL}
    storages = {each.untyped_storage().data_ptr(): each for each in _tensors(kept)}
    return sum(each.untyped_storage().nbytes() for each in storages.values())


_MODEL = ("_engine", "_memory")


def test_what_is_held_does_not_grow_with_the_clip(engine, frames):
    session = engine.track(100)
    session.start(frames[0], {1: CLICK, 2: BOX})
    held = {}
    for frame in _long_clip(frames, 61)[1:]:
        session.step(frame, [1, 2])
        held[frame.index] = _bytes_of(session)
    assert held[5] < held[20] == held[60]
    maps = 6 * 2 * 36 * 8 * 2
    assert held[60] > maps


def test_a_new_pass_finds_what_the_first_one_found(engine, frames):
    session = engine.track(len(frames))
    session.start(frames[0], {1: CLICK})
    session.start(frames[7], {2: BOX})
    first = follow(session, frames, [1, 2])
    backward = follow(session, reversed(frames), [1, 2])
    torch.testing.assert_close(follow(session, frames, [1, 2]), first, atol=0, rtol=0)
    assert (backward - first).abs().mean() > 0.05


def test_objects_together_are_as_one_by_one(engine, frames):
    prompts = {1: CLICK, 2: BOX, 3: PAIR, 4: CLICK, 5: BOX}
    together = engine.track(len(frames))
    together.start(frames[0], {n: p for n, p in prompts.items() if n != 5})
    together.start(frames[3], {5: prompts[5]})
    found = follow(together, frames, list(prompts))
    for row, (number, prompt) in enumerate(prompts.items()):
        alone = engine.track(len(frames))
        alone.start(frames[3 if number == 5 else 0], {number: prompt})
        expected = follow(alone, frames, [number])
        torch.testing.assert_close(found[row], expected[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("back", [True, False])
def test_a_pass_may_begin_beside_the_key_frame(engine, frames, back):
    """Whether the key frame is looked at again changes nothing: the direction is known."""
    way = list(reversed(frames[:6])) if back else frames[6:]
    found = []
    for seen_again in (True, False):
        session = engine.track(len(frames))
        session.start(frames[0 if back else 11], {2: BOX})
        session.start(way[0], {1: CLICK})
        session.step(frames[11 if back else 0], [2])
        session.begin_pass()
        passed = way if seen_again else way[1:]
        found.append([session.step(frame, [1])[1].logits for frame in passed][-4:])
    torch.testing.assert_close(found[0], found[1], atol=0, rtol=0)


def test_a_key_frame_says_again_what_was_found(engine, frames):
    session = engine.track(len(frames))
    (started,) = session.start(frames[2], {1: CLICK}).values()
    for frame in frames[3:6]:
        session.step(frame, [1])
    before = session.step(frames[6], [1])[1]
    corrected = session.correct(frames[6], {1: PAIR})[1]
    assert not torch.equal(before.logits, corrected.logits)
    session.begin_pass()
    assert torch.equal(session.step(frames[2], [1])[1].logits, started.logits)
    assert torch.equal(session.step(frames[6], [1])[1].logits, corrected.logits)


def test_a_correction_goes_the_way_to_its_frame_itself(engine, frames):
    """Asked of a frame that was not looked at yet."""
    results = []
    for is_seen in (True, False):
        session = engine.track(len(frames))
        session.start(frames[0], {1: CLICK})
        session.step(frames[1], [1])
        if is_seen:
            session.step(frames[2], [1])
        results.append(session.correct(frames[2], {1: PAIR})[1].logits)
    torch.testing.assert_close(results[0], results[1], atol=0, rtol=0)


def test_an_empty_mask_is_not_seen_on_its_frame(engine, frames):
    session = engine.track(len(frames))
    nothing = ObjectPrompt("mask", mask=torch.zeros(60, 80))
    found = session.start(frames[0], {1: nothing})[1]
    assert (found.logits < 0).all()
    assert session.step(frames[1], [1])[1].logits.shape == found.logits.shape


@pytest.mark.parametrize(("dtype", "most"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_half_precision(dtype, most, engine, frames):
    half = REFERENCE.engine(dtype)
    assert half.module.memory_attention.layers[0].linear1.weight.dtype == dtype
    assert half.module.memory_attention.layer_norm.weight.dtype == torch.float32
    answers = []
    for one, clip in ((half, clip_frames(half, REFERENCE.images())), (engine, frames)):
        session = one.track(len(frames))
        session.start(clip[0], {1: CLICK})
        answers.append(follow(session, clip[:4], [1]))
    found, expected = answers
    assert (found - expected).abs().mean() < most * expected.abs().mean()


def _trace(index: int) -> Trace:
    return Trace(torch.full((4, 2), float(index)), torch.full((8,), float(index)))


def _recalled(bank: Bank, index: int, step: int) -> tuple[list[tuple[int, int]], ...]:
    recall = bank.recall(index, step, 16)
    maps = [(int(each[0, 0]), row) for each, row in recall.maps]
    return sorted(maps), sorted((int(each[0]), behind) for each, behind in recall.pointers)


def _frames_behind(index: int, step: int, most: int) -> list[tuple[int, int]]:
    return sorted((index - step * distance, distance) for distance in range(1, most + 1))


@pytest.mark.parametrize("step", [1, -1])
def test_a_frame_is_told_of_six_maps_and_fifteen_pointers(step):
    bank = Bank(None)
    bank.add_key(50, _trace(50))
    index = 50 + 40 * step
    for distance in range(1, 40):
        bank.add(50 + distance * step, _trace(50 + distance * step))
    maps, pointers = _recalled(bank, index, step)
    behind = [(at, distance - 1) for at, distance in _frames_behind(index, step, 6)]
    assert maps == sorted([*behind, (50, 6)])
    assert pointers == sorted([*_frames_behind(index, step, 15), (50, 40)])


def test_pointers_of_key_frames_ahead_are_not_told():
    bank = Bank(None)
    for index in (2, 9):
        bank.add_key(index, _trace(index))
    assert _recalled(bank, 5, 1) == ([(2, 6), (9, 6)], [(2, 3)])
    assert _recalled(bank, 5, -1) == ([(2, 6), (9, 6)], [(9, 4)])


def test_of_many_key_frames_the_nearest_count_as_such():
    """The next on either side, then whichever is near; others only where they are just behind."""
    bank = Bank(4)
    for index in (0, 3, 10, 11, 12, 13, 30):
        bank.add_key(index, _trace(index))
    maps, pointers = _recalled(bank, 14, 1)
    assert maps == sorted([(13, 6), (30, 6), (12, 6), (11, 6), (10, 3)])
    assert pointers == sorted([(13, 1), (12, 2), (11, 3), (10, 4), (3, 11), (0, 14)])
