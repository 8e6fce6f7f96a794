"""Clicks and boxes on the way, key frames and passes, of objects that are followed by flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from segment_anywhere.core.engines.flow.shapes import iou
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt

from tests.support.clips import disc, frames_of, painted
from tests.support.flow_walks import (
    AWAY,
    BLUE,
    ENGINE,
    RED,
    SIZE,
    WALK,
    YELLOW,
    click,
    discs,
    follow,
    mask_of,
    of_mask,
)


def two_halves() -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """A disc that is red on the left and blue on the right: a clip, the reds, the whole discs."""
    images, masks = discs(WALK)
    x = np.arange(SIZE[1])
    reds = [mask & (x < middle[0]) for mask, middle in zip(masks, WALK, strict=True)]
    halves = zip(images, masks, reds, strict=True)
    return [painted(image, mask & ~red, BLUE) for image, mask, red in halves], reds, masks


def test_a_click_adds_a_part():
    images, reds, masks = two_halves()
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, images))
    before = follow(session, frames[:5], {1: of_mask(reds[0])})
    assert iou(before[-1][1], reds[4]) > 0.8
    at = (WALK[5][0] + 8, WALK[5][1])
    corrected = session.correct(frames[5], {1: click(*at)})
    assert iou(mask_of(session, corrected[1]), masks[5]) > 0.85
    for frame in frames[6:]:
        mask = mask_of(session, session.step(frame, [1])[1])
        assert iou(mask, masks[frame.index]) > 0.85


def test_a_click_takes_a_part_away():
    """As the engine does it, from the mask that the object is followed to."""
    images, _, masks = two_halves()
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, images))
    follow(session, frames[:5], {1: of_mask(masks[0])})
    followed = mask_of(session, session.step(frames[5], [1])[1])
    away = click(WALK[5][0] + 8, WALK[5][1], positive=False)
    corrected = mask_of(session, session.correct(frames[5], {1: away})[1])
    prompt = replace(away, mask=torch.from_numpy(followed).float())
    (own,) = ENGINE.decode(frames[5].embedding, [prompt], multimask=False)
    assert np.array_equal(corrected, (own.logits[0] > 0).numpy())
    assert iou(followed, masks[5]) > 0.85 and corrected.sum() < 0.9 * followed.sum()


def test_a_box_elsewhere_is_where_the_object_is():
    images, masks = discs(WALK)
    wrong = disc(SIZE, (100, 80), 12)
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, images))
    follow(session, frames[:3], {1: of_mask(wrong)})
    x, y = WALK[3]
    box = ObjectPrompt("object", box=Box(x - 18.0, y - 18.0, x + 18.0, y + 18.0))
    assert iou(mask_of(session, session.correct(frames[3], {1: box})[1]), masks[3]) > 0.85


def test_a_lost_object_is_shown_again_by_a_click():
    images, masks = discs([*AWAY, *reversed(AWAY)], RED)
    images[-1] = painted(images[-1], masks[-1], YELLOW)
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, images))
    found = follow(session, frames[: len(AWAY)], {1: click(*AWAY[0])})
    assert not found[-1][1].any()
    corrected = session.correct(frames[-1], {1: click(*AWAY[0])})
    assert iou(mask_of(session, corrected[1]), masks[-1]) > 0.85


def test_what_is_not_there_stays_away_from_a_click_on_something_else():
    images, _ = discs(WALK)
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, images))
    session.start(frames[0], {1: of_mask(np.zeros(SIZE, bool))})
    found = session.correct(frames[1], {1: click(5, 5, positive=False)})
    assert not mask_of(session, found[1]).any()


def test_backward_from_the_end():
    images, masks = discs(WALK)
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, images))
    found = follow(session, frames[::-1], {1: click(*WALK[-1])})
    assert iou(found[-1][1], masks[0]) > 0.9


def test_a_second_pass_begins_at_the_nearest_key_frame():
    """What the first pass saw last, at the other end, has no part in it."""
    images, masks = discs(WALK)
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, images))
    follow(session, frames[6:], {1: click(*WALK[6])})
    session.begin_pass()
    back = [session.step(frame, [1])[1] for frame in frames[5::-1]]
    fresh = ENGINE.track(16)
    expected = follow(fresh, frames[6::-1], {1: click(*WALK[6])})[1:]
    for one, other in zip(back, expected, strict=True):
        assert np.array_equal(mask_of(session, one), other[1])
    assert iou(mask_of(session, back[-1]), masks[0]) > 0.9


def test_a_key_frame_is_what_it_was_found_to_be():
    images, masks = discs(WALK)
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, images))
    first = session.start(frames[0], {1: click(*WALK[0])})[1]
    last = session.start(frames[11], {1: of_mask(masks[11])})[1]
    session.begin_pass()
    for frame in frames:
        found = session.step(frame, [1])[1]
        known = {0: first, 11: last}.get(frame.index)
        if known is not None:
            assert torch.equal(found.logits, known.logits)
            assert torch.equal(found.scores, known.scores)
    # The first frame after a key frame goes on from there, not from what was seen before it.
    session.begin_pass()
    assert iou(mask_of(session, session.step(frames[10], [1])[1]), masks[10]) > 0.9


def test_all_key_frames_may_be_made_first():
    images, masks = discs(WALK)
    session = ENGINE.track(16)
    frames = list(frames_of(ENGINE, images))
    session.start(frames[0], {1: of_mask(masks[0])})
    session.start(frames[11], {1: of_mask(np.zeros(SIZE, bool))})
    for frame in frames:
        found = mask_of(session, session.step(frame, [1])[1])
        assert iou(found, masks[frame.index]) > 0.9 if frame.index < 11 else not found.any()


def test_the_mask_that_was_clicked_is_the_engine_s_own():
    images, _ = discs(WALK)
    session = ENGINE.track(16)
    (frame,) = frames_of(ENGINE, images[:1])
    found = session.start(frame, {1: click(*WALK[0])})[1]
    (own,) = ENGINE.decode(frame.embedding, [click(*WALK[0])], multimask=True)
    assert torch.equal(session.to_logits(found.logits, SIZE), ENGINE.to_logits(own.logits, SIZE))
    assert torch.equal(found.scores, own.scores)
