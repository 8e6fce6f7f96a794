"""Images, questions and runs for the tests of remote providers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.providers.batch import BatchRequest
from segment_anywhere.core.providers.contract import Profile
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.registry import PROVIDERS
from segment_anywhere.core.providers.runs import Hooks, segment
from segment_anywhere.core.providers.scheduler import RunLimits
from segment_anywhere.core.providers.transport import Limits

from tests.support.servers import KEY, ProviderServer

# One object, (20, 10) to (50, 35), on a plain ground.
SQUARE = (20, 10, 50, 35)
SIZE = (48, 64)
QUICK = RunLimits(4, 20.0, Limits(connect=2.0, attempts=3, first_wait=0.02, longest_wait=2.0))


def square_mask(size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    left, top, right, bottom = SQUARE
    mask[top:bottom, left:right] = True
    return mask


def square_image(batch: int = 1) -> torch.Tensor:
    """A red square on green; each frame differs a little, so that no two requests are equal."""
    image = torch.zeros(batch, *SIZE, 3)
    image[..., :] = torch.tensor([0.15, 0.5, 0.2])
    left, top, right, bottom = SQUARE
    image[:, top:bottom, left:right] = torch.tensor([0.85, 0.15, 0.1])
    for index in range(batch):
        image[index, 0, 0] = torch.tensor([index % 16 / 255, index // 16 / 255, 0.0])
    return image


def grainy_image() -> torch.Tensor:
    """The square with grain, as photographs have it: IMAGE [1, H, W, 3]."""
    grain = torch.rand(1, *SIZE, 1, generator=torch.Generator().manual_seed(7))
    return (square_image() + 0.4 * (grain - 0.5)).clamp(0, 1)


# What each provider is asked in the tests that are about all of them.
OPTIONS: dict[str, dict[str, Any]] = {
    "imagineo": {"prompt": "square"},
    "airefinery": {},
    "segmind": {"prompt": "square"},
    "moark": {"prompt": "square"},
    "fal": {"endpoint": "fal-ai/evf-sam", "prompt": "square"},
    "custom": {"prompt": "square"},
}


def ask_for(
    server: ProviderServer,
    key: str,
    options: dict | None = None,
    objects=None,
    secret: str = KEY,
    **profile: Any,
) -> BatchRequest:
    """An BatchRequest that goes to a loopback server; AI Refinery gets a click on the square."""
    if objects is None:
        click = ObjectPrompt("object 0", (Point(30, 20),))
        objects = [[click]] if key == "airefinery" else [[]]
    own = Profile(key, "test", server.url, secret, profile)
    return BatchRequest(PROVIDERS[key], own, OPTIONS[key] if options is None else options, objects)


def always_uploading(ask: BatchRequest) -> BatchRequest:
    """The same for a provider whose storage gets even small pictures."""
    upload = replace(ask.provider.upload, above=10)
    return replace(ask, provider=replace(ask.provider, upload=upload))


def run(
    ask: BatchRequest,
    image: torch.Tensor | None = None,
    limits: RunLimits = QUICK,
    paid=None,
    hooks=None,
):
    """Segment; its objects are repeated for a batch."""
    image = square_image() if image is None else image
    if len(ask.objects) != len(image):
        ask = replace(ask, objects=list(ask.objects) * len(image))
    hooks = hooks or Hooks(lambda: None, lambda done, total, text: None)
    paid = Journal() if paid is None else paid
    return asyncio.run(segment(image, ask, limits, hooks, paid))
