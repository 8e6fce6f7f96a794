"""Discs that walk over texture, what shows them, and a session led along them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from segment_anywhere.core.engines.base import Candidates, ClipFrame
from segment_anywhere.core.engines.flow.session import FlowSession
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point

from tests.support.clips import disc, painted, texture

ENGINE = GrabCutEngine()
SIZE = (96, 128)
RED, YELLOW, BLUE = (0.9, 0.1, 0.1), (0.95, 0.85, 0.1), (0.1, 0.2, 0.9)
RADIUS = 15


def click(x: float, y: float, positive: bool = True) -> ObjectPrompt:
    return ObjectPrompt("object", (Point(x, y, positive),))


def of_mask(mask: np.ndarray) -> ObjectPrompt:
    return ObjectPrompt("object", mask=torch.from_numpy(mask).float())


def mask_of(session: FlowSession, found: Candidates, size: tuple[int, int] = SIZE) -> np.ndarray:
    """[H, W] bool, after checks that hold for everything that is found."""
    assert found.logits.dtype == torch.float32 and found.logits.shape[0] == 1
    assert found.scores.shape == (1,) and 0.0 <= float(found.scores[0]) <= 1.0
    assert torch.isfinite(found.logits).all() and found.logits.is_cpu
    logits = session.to_logits(found.logits, size)
    assert logits.shape == (1, *size)
    return (logits[0] > 0).numpy()


def discs(
    middles: Sequence[tuple[float, float]], color: Sequence[float] = RED
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A clip of a disc on the move, and its masks."""
    masks = [disc(SIZE, middle, RADIUS) for middle in middles]
    return [painted(texture(SIZE), mask, color) for mask in masks], masks


def follow(
    session: FlowSession, frames: Sequence[ClipFrame], prompts: dict[int, ObjectPrompt]
) -> list[dict[int, np.ndarray]]:
    """From the first of the frames to the last: the objects' masks in each."""
    found = [session.start(frames[0], prompts)]
    found += [session.step(frame, list(prompts)) for frame in frames[1:]]
    size = frames[0].embedding.size
    return [{n: mask_of(session, each, size) for n, each in one.items()} for one in found]


WALK = [(30 + 4 * k, 40 + k) for k in range(12)]
AWAY = [(90 + 8 * k, 48) for k in range(9)]
