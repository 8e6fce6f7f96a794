"""Servers and runs for the tests of remote providers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent.parent
# The servers are a package of their own, as `python -m tests.providers.servers` has them.
sys.path.insert(0, str(ROOT))

from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point  # noqa: E402
from segment_anywhere.core.providers import jobs  # noqa: E402
from segment_anywhere.core.providers.batch import BatchRequest  # noqa: E402
from segment_anywhere.core.providers.contract import Profile  # noqa: E402
from segment_anywhere.core.providers.paid import PaidAnswers  # noqa: E402
from segment_anywhere.core.providers.registry import PROVIDERS  # noqa: E402
from segment_anywhere.core.providers.runs import Hooks, RunLimits, segment  # noqa: E402
from segment_anywhere.core.providers.transport import Limits  # noqa: E402
from tests.support.servers import KEY, SERVERS, ProviderServer, serving  # noqa: E402

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


@pytest.fixture(autouse=True)
def _fast_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.02)


@pytest.fixture
def serve() -> Iterator[Callable[..., ProviderServer]]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:

        def start(key: str, **state: Any) -> ProviderServer:
            return stack.enter_context(serving(SERVERS[key](**state)))

        yield start


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
    paid = PaidAnswers() if paid is None else paid
    return asyncio.run(segment(image, ask, limits, hooks, paid))
