"""The pack's exceptions as ComfyUI shows them: by name."""

from __future__ import annotations

from ...core.errors import SegmentAnywhereError


def hide_modules(kind: type[SegmentAnywhereError] = SegmentAnywhereError) -> None:
    """Let ComfyUI begin the message of an exception, and of those derived from it, with its name.

    It puts the module before the name, which for a pack is the path of its folder, so that two of
    the three lines of a toast are gone. What is built in is the exception from that.
    """
    kind.__module__ = "builtins"
    for derived in kind.__subclasses__():
        hide_modules(derived)
