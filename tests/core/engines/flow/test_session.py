"""Objects followed through clips by optical flow, mostly with the engine that needs no weights."""

from __future__ import annotations

import gc

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.engines.base import Candidates, ClipFrame
from segment_anywhere.core.engines.flow.session import FlowSession
from segment_anywhere.core.engines.flow.shapes import iou
from segment_anywhere.core.engines.flow.sightings import Picture
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.prompts.prompts import ObjectPrompt

from tests.support.clips import disc, frames_of, motion, moved, moved_mask, painted, texture
from tests.support.engines import MODELS, engine_of
from tests.support.flow_walks import (
    AWAY,
    BLUE,
    ENGINE,
    SIZE,
    WALK,
    click,
    discs,
    follow,
    mask_of,
    of_mask,
)
from tests.support.needs import needs_timm
from tests.support.paths import ROOT
from tests.support.pretended import DEVICE, copies, placed


@pytest.mark.parametrize(("zoom", "turn"), [(0.75, 25.0), (1.3, -20.0)])
def test_a_photograph_that_is_moved(zoom, turn):
    """48 frames of pan, zoom and rotation at once, at half the photograph's size."""
    picture = Image.open(ROOT / "workflows" / "images" / "dahlia.jpg").convert("RGB")
    photo = cv2.resize(
        np.asarray(picture, np.float32) / 255, (320, 214), interpolation=cv2.INTER_AREA
    )
    size = (214, 320)
    ways = [
        motion(size, (0.12 * 320 * t, -0.08 * 214 * t), turn * t, 1 + (zoom - 1) * t)
        for t in np.linspace(0, 1, 48)
    ]
    session = ENGINE.track(16)
    for frame in frames_of(ENGINE, [moved(photo, way) for way in ways]):
        found = (
            session.step(frame, [3]) if frame.index else session.start(frame, {3: click(155, 107)})
        )
        mask = mask_of(session, found[3], size)
        if frame.index == 0:
            first = mask
    assert 0.15 < first.mean() < 0.3
    assert iou(mask, moved_mask(first, ways[-1])) > 0.96


def test_a_thing_on_the_move():
    images, masks = discs(WALK)
    found = follow(ENGINE.track(16), list(frames_of(ENGINE, images)), {1: click(*WALK[0])})
    assert min(iou(one[1], mask) for one, mask in zip(found, masks, strict=True)) > 0.9


@pytest.mark.parametrize("family", MODELS)
def test_any_model_can_follow(family):
    """These have random weights and would draw anything: the shape is carried on without them."""
    engine = engine_of(family)
    images, masks = discs(WALK[:6])
    session = FlowSession(engine)
    found = follow(session, list(frames_of(engine, images)), {1: of_mask(masks[0])})
    assert iou(found[0][1], masks[0]) > 0.97
    assert iou(found[-1][1], masks[5]) > 0.85


@pytest.mark.parametrize(
    "family", ["grabcut", "sam", "sam_hq", pytest.param("mobile_sam", marks=needs_timm)]
)
def test_what_has_no_memory_follows_by_flow(family):
    session = engine_of(family).track(16)
    assert isinstance(session, FlowSession)
    assert session.method == "optical flow" and not session.looks_ahead


class Slipping(GrabCutEngine):
    """An engine that draws the whole image, or nothing, from some embedding on."""

    def __init__(self, logit: float):
        super().__init__()
        self.logit = logit
        self.slips = False

    def decode(self, embedding, prompts, multimask):
        found = super().decode(embedding, prompts, multimask)
        if not self.slips:
            return found
        return [Candidates(torch.full_like(f.logits, self.logit), f.scores) for f in found]


@pytest.mark.parametrize("logit", [6.0, -6.0])
def test_a_slip_of_the_engine_does_not_lose_the_object(logit):
    engine = Slipping(logit)
    images, masks = discs(WALK)
    session = engine.track(16)
    for frame in frames_of(engine, images):
        engine.slips = frame.index in (3, 4, 8)
        found = (
            session.step(frame, [1]) if frame.index else session.start(frame, {1: click(30, 40)})
        )
        assert iou(mask_of(session, found[1]), masks[frame.index]) > 0.9


def test_what_the_engine_would_not_draw_is_followed_all_the_same():
    """The left half of a disc: no colour and no edge tells it from the other."""
    images, masks = discs(WALK)
    x = np.arange(SIZE[1])
    halves = [mask & (x < middle[0]) for mask, middle in zip(masks, WALK, strict=True)]
    found = follow(ENGINE.track(16), list(frames_of(ENGINE, images)), {1: of_mask(halves[0])})
    assert iou(found[-1][1], halves[-1]) > 0.75


def test_a_thing_that_leaves_and_comes_back():
    images, masks = discs([*AWAY, *reversed(AWAY)])
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, images))
    found = [session.start(frames[0], {1: click(*AWAY[0])})]
    found += [session.step(frame, [1]) for frame in frames[1:]]
    for one, mask in zip(found, masks, strict=True):
        seen = mask_of(session, one[1])
        if not mask.any():
            assert not seen.any() and float(one[1].scores[0]) == 0.0
            assert (one[1].logits < 0).all()
    assert iou(mask_of(session, found[-1][1]), masks[-1]) > 0.9
    assert float(found[-1][1].scores[0]) > 0.5


def test_a_lost_thing_is_not_mistaken_for_another():
    images, _ = discs(AWAY)
    others, _ = discs(AWAY[::-1], BLUE)
    found = follow(ENGINE.track(16), list(frames_of(ENGINE, images + others)), {1: click(*AWAY[0])})
    assert not any(one[1].any() for one in found[len(AWAY) :])


def test_a_cut_to_black_and_back():
    images, masks = discs(WALK)
    images[5] = images[6] = np.zeros_like(images[5])
    found = follow(ENGINE.track(16), list(frames_of(ENGINE, images)), {1: click(*WALK[0])})
    assert not found[5][1].any() and not found[6][1].any()
    assert iou(found[7][1], masks[7]) > 0.9 and iou(found[-1][1], masks[-1]) > 0.9


def test_two_objects_are_followed_as_one_by_one():
    images, masks = discs(WALK)
    second = [disc(SIZE, (100 - 3 * k, 80 - k), 12) for k in range(len(WALK))]
    images = [painted(image, mask, BLUE) for image, mask in zip(images, second, strict=True)]
    frames = list(frames_of(ENGINE, images))
    prompts = {4: click(*WALK[0]), 9: click(100, 80)}
    together = follow(ENGINE.track(16), frames, prompts)
    for number, truth in ((4, masks), (9, second)):
        alone = follow(ENGINE.track(16), frames, {number: prompts[number]})
        for both, one in zip(together, alone, strict=True):
            assert np.array_equal(both[number], one[number])
        assert iou(together[2][number], truth[2]) > 0.9


def test_flow_is_measured_once_for_all_objects(monkeypatch):
    from segment_anywhere.core.engines.flow import session as module

    measured = []
    real = module.measure

    def count(reference, frame):
        measured.append(1)
        return real(reference, frame)

    monkeypatch.setattr(module, "measure", count)
    images, masks = discs(WALK[:3])
    session = ENGINE.track(16)
    first, second, third = frames_of(ENGINE, images)
    session.start(first, {n: of_mask(masks[0]) for n in range(4)})
    session.step(second, [0, 1])
    session.step(second, [2, 3])
    session.step(third, [0, 1, 2, 3])
    assert len(measured) == 2


def test_an_object_without_a_key_frame_is_not_seen():
    images, _ = discs(WALK[:2])
    session = ENGINE.track(16)
    first, second = frames_of(ENGINE, images)
    assert not mask_of(session, session.step(first, [1])[1]).any()
    session.start(second, {1: click(*WALK[1])})
    assert mask_of(session, session.step(second, [1])[1]).any()


def pictures() -> int:
    gc.collect()
    return sum(isinstance(held, Picture) for held in gc.get_objects())


def test_it_holds_no_more_the_longer_the_clip_is():
    images, masks = discs(WALK)
    before = pictures()
    session = ENGINE.track(16)
    session.start(next(frames_of(ENGINE, images)), {1: of_mask(masks[0])})
    for lap in range(3):
        for frame in frames_of(ENGINE, images):
            session.step(ClipFrame(frame.index + 12 * lap, frame.pixels, frame.embedding), [1])
        assert pictures() - before <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3), (17, 31), (33, 700), (41, 59)])
@pytest.mark.parametrize("kind", ["all", "some", "nothing"])
@pytest.mark.parametrize("light", [0.0, 1.0])
def test_any_size_and_shape(size, kind, light):
    mask = np.zeros(size, bool)
    if kind != "nothing":
        mask[:] = kind == "all"
        mask[: (size[0] + 1) // 2, : (size[1] + 1) // 2] = True
    frames = list(frames_of(ENGINE, [texture(size) * light] * 3))
    session = ENGINE.track(16)
    found = [session.start(frames[0], {1: of_mask(mask)})[1]]
    found.append(session.step(frames[1], [1])[1])
    point = click(size[1] / 2, size[0] / 2)
    found.append(session.correct(frames[2], {1: point})[1])
    masks = [mask_of(session, each, size) for each in found]
    if max(size) <= 640:
        assert np.array_equal(masks[0], mask)
    assert masks[2][int(size[0] / 2), int(size[1] / 2)]


def test_a_large_frame_is_followed_at_a_working_size():
    images, masks = discs(WALK[:4])
    large = [cv2.resize(image, None, fx=8, fy=8) for image in images]
    whole = [cv2.resize(mask.astype(np.float32), None, fx=8, fy=8) > 0.5 for mask in masks]
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, large))
    start = session.start(frames[0], {1: of_mask(whole[0])})[1]
    assert start.logits.shape == (1, 480, 640)
    assert iou(mask_of(session, start, whole[0].shape), whole[0]) > 0.98
    for frame in frames[1:]:
        found = session.step(frame, [1])[1]
    assert iou(mask_of(session, found, whole[0].shape), whole[3]) > 0.93


def test_the_same_clip_gives_the_same_result():
    images, _ = discs([*WALK, *AWAY])
    frames = list(frames_of(ENGINE, images))
    sessions = [ENGINE.track(16) for _ in range(2)]
    found = [session.start(frames[0], {1: click(*WALK[0])}) for session in sessions]
    for frame in frames[1:]:
        found = [session.step(frame, [1]) for session in sessions]
        # OpenCV's last digits depend on where in memory a picture lies.
        torch.testing.assert_close(found[0][1].logits, found[1][1].logits)
        torch.testing.assert_close(found[0][1].scores, found[1][1].scores)
        masks = [mask_of(session, one[1]) for session, one in zip(sessions, found, strict=True)]
        assert np.array_equal(*masks)


@pytest.mark.parametrize("family", ["grabcut", "sam"])
def test_a_model_and_frames_on_a_device(family):
    """A frame comes to the CPU once; what is found is as there."""
    images, masks = discs(WALK[:4])
    engine = engine_of(family)
    expected = follow(FlowSession(engine), list(frames_of(engine, images)), {1: of_mask(masks[0])})
    if engine.module is not None:
        placed(engine)
    try:
        with copies():
            frames = list(frames_of(engine, images, DEVICE))
            prompt = ObjectPrompt("object", mask=torch.from_numpy(masks[0]).float().to(DEVICE))
            found = follow(FlowSession(engine), frames, {1: prompt})
    finally:
        if engine.module is not None:
            engine_of.cache_clear()
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one[1], other[1])
