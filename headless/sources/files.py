"""A source as a file on this machine that can be read. Errors do not repeat its name."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import WorkflowError
from . import addresses
from .units import Source


def at_hand(source: Source) -> Source:
    """The same source from a file on this machine, fetched where it is elsewhere.

    A fetched file stays until this thread asks for another one.

    Raises:
        WorkflowError: it is gone, empty, or may not be read.
    """
    path = addresses.fetch(source) if source.is_elsewhere else Path(source.place)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _unreadable(error) from error
    if not size:
        raise WorkflowError("the file is empty (0 bytes). Get it again.")
    if not os.access(path, os.R_OK):
        raise WorkflowError("no right to read it. Change its permissions.")
    return source.at(path)


def stamp_of(path: Path) -> list[str | int]:
    """What tells that a file on this machine has changed.

    Raises:
        WorkflowError: it cannot be looked at.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(error) from error
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _unreadable(error: OSError) -> WorkflowError:
    return WorkflowError(f"cannot be read ({error.strerror}).")
