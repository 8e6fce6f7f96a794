"""What the user sees of a run, and how it is interrupted: a node's bar and its line of text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import comfy.model_management
import comfy.utils
from comfy_api.latest import io
from server import PromptServer

from ...core.providers.runs import Hooks

Item = TypeVar("Item")


def stop_if_interrupted() -> None:
    """Raise the host's own exception where the user has interrupted the run."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def stepper(total: int) -> Callable[[], None]:
    """A callback to call after each of `total` units of work; stops when the user interrupts."""
    bar = comfy.utils.ProgressBar(total)

    def step() -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update(1)

    return step


class Forecast:
    """A step callback, as `stepper` gives it, that says on the node how long a slow work will take.

    That is measured on the first steps, for it depends on the machine, the model and the image.
    clock: gives seconds.
    """

    _MEASURED = 2
    _WORTH_SAYING = 5.0

    def __init__(
        self,
        cls: type[io.ComfyNode],
        work: str,
        total: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cls, self._work, self._total, self._clock = cls, work, total, clock
        self._step = stepper(total)
        self._done = 0
        self._start = 0.0

    def __call__(self) -> None:
        self._step()
        # The first step has more to do: it encodes the image.
        if self._done == 0:
            self._start = self._clock()
        elif self._done == self._MEASURED:
            left = (self._clock() - self._start) / self._MEASURED * (self._total - self._done - 1)
            if left >= self._WORTH_SAYING:
                show_text(self._cls, f"{self._work}: about {left:.0f} s, by the first of them")
        self._done += 1


def counted(items: Iterable[Item], total: int, step: int = 0, steps: int = 1) -> Iterator[Item]:
    """The same items, with progress on the node's bar and a chance to interrupt before each.

    step, steps: which of how many passes over as many items this is, for the progress.
    """
    bar = comfy.utils.ProgressBar(steps * total)
    remaining = iter(items)
    for done in range(1, total + 1):
        comfy.model_management.throw_exception_if_processing_interrupted()
        yield next(remaining)
        bar.update_absolute(step * total + done, steps * total)


def download_progress(
    title: str, place: str, cls: type[io.ComfyNode]
) -> Callable[[int, int], None]:
    """A progress callback that fills the node's bar and stops when the user interrupts.

    place: a second line for the node, from where and whereto.
    """
    bar = comfy.utils.ProgressBar(1)

    def report(done: int, total: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total)
        show_text(cls, f"{title}: {done / 1e6:.0f} of {total / 1e6:.0f} MB\n{place}")

    return report


def remote_hooks(cls: type[io.ComfyNode], total: int) -> Hooks:
    """How a run at a provider's is shown and stopped: the node's bar and text, the interrupt."""
    bar = comfy.utils.ProgressBar(total)

    def report(done: int, total: int, text: str) -> None:
        bar.update_absolute(done, total)
        show_text(cls, text)

    return Hooks(comfy.model_management.throw_exception_if_processing_interrupted, report)


def show_text(cls: type[io.ComfyNode], text: str) -> None:
    """Write lines on the node in the editor that queued the prompt; nowhere where none did."""
    # Without a client's id it would go to all of them, onto whatever node has the same number.
    client = PromptServer.instance.client_id
    if client is not None and cls.hidden is not None and cls.hidden.unique_id is not None:
        PromptServer.instance.send_progress_text(_shown(text), cls.hidden.unique_id, client)


def _shown(text: str) -> str:
    """A text as all frontends show it: as HTML on the canvas, as Markdown in Nodes 2.0.

    Labels may come from others. The oldest frontends put them into the page as they are, and a
    picture that a text names would be fetched.
    """
    inert = re.sub(r"<(?=[a-z/!?])|\](?=\()", r"\g<0> ", text, flags=re.IGNORECASE)
    # Two spaces make a line end one in Markdown.
    return inert.replace("\n", "  \n")
