"""A whole run: a batch of images to one provider, several at a time, and none paid twice.

Whatever was paid stays in the journal: when some images fail, the next run sends only those.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from .. import opencv
from ..errors import MissingLibrary
from ..libraries import install_sentence
from ..results.segments import Instance, Segments, numbered
from ..tensors import image_size
from .batch import BatchRequest, check_request
from .contract import ProviderError
from .guard import guarded
from .journal import Journal
from .redaction import Redactor
from .reports import RunResult, explain_all
from .scheduler import RunLimits, Scheduler

# How often the user's interrupt is looked for, and how often the text on the node changes.
_SLICE = 0.1
_REPORT_SECONDS = 0.5
_PACKAGES = ("tenacity", "pycocotools")


@dataclass(frozen=True)
class Hooks:
    """The host's side of a run.

    pause is called many times a second and raises to stop the run; report gets (done, total, text).
    The first time that pause raises, what was sent is still waited for, so that it is not paid for
    in vain; the second time ends that too.
    """

    pause: Callable[[], None]
    report: Callable[[int, int, str], None]


async def segment(
    image: Tensor, asked: BatchRequest, limits: RunLimits, hooks: Hooks, journal: Journal
) -> RunResult:
    """Segment a batch of images, IMAGE [B, H, W, C], with a provider.

    Raises InputError for prompts that the provider cannot take, before anything is sent, and
    ProviderError, with what failed for which image and why, once all other images are done.
    """
    batch, height, width = image_size(image)
    _check_packages()
    check_request(asked)
    redactor = Redactor(asked.profile)
    asked = replace(asked, provider=guarded(asked.provider, redactor))
    run = Scheduler(image, asked, limits, journal, redactor)
    frames = await _watched(run, hooks)
    if run.failures:
        told = explain_all(asked, batch, run.failures, run.unsent, run.calls)
        raise ProviderError(redactor.tell(told))
    instances = [instance for frame in frames for instance in frame]
    if asked.is_of_words:
        instances = numbered(instances, asked.phrases)
    segments = Segments.from_instances(instances, (height, width), batch)
    calls = tuple(sorted(run.calls, key=lambda call: (call.frame, call.place)))
    return RunResult(segments, calls, run.progress.seconds, run.pictures)


async def _watched(run: Scheduler, hooks: Hooks) -> list[list[Instance]]:
    """Run, show how far it is, and look for the user's interrupt meanwhile."""
    host, wake = asyncio.get_running_loop(), asyncio.Event()
    result = run.start(partial(_wake, host, wake))
    interrupt: BaseException | None = None
    reported = 0.0
    progress = run.progress
    try:
        while not result.done():
            try:
                hooks.pause()
            except BaseException as error:
                # Whatever the host interrupts with.
                run.call(run.interrupt if interrupt is None else run.give_up)
                interrupt = interrupt or error
            if run.has_news or time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                hooks.report(progress.done, progress.total, progress.line())
            if run.has_news:
                run.call(run.told)
            wake.clear()
            if not result.done():
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(wake.wait(), _SLICE)
    except BaseException:
        # The host ends, or cannot show anything; what was sent goes on without it.
        run.call(run.interrupt)
        raise
    if interrupt is not None:
        raise interrupt
    hooks.report(progress.done, progress.total, progress.line())
    return result.result()


def _wake(host: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    # The host's loop may be gone.
    with suppress(RuntimeError):
        host.call_soon_threadsafe(event.set)


def _check_packages() -> None:
    opencv.require("Remote providers")
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingLibrary(
            f"Remote providers need {' and '.join(missing)}. {install_sentence(*missing)}"
        )
