"""What objects are called."""

from __future__ import annotations

import re
from typing import Any

from ..errors import InputError

LAST_NUMBER = 2**53 - 1
"""The largest whole number that the editor, which knows floats only, can tell from the next."""
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_ACCEPTED = 'Accepted: {"0": "left cup"}, the numbers of objects, from 0, with their names'


def numbered_label(number: int) -> str:
    """What an object without a name is called: its number is from 0, and people count from one."""
    return f"object {number + 1}"


def read_names(value: Any, name: str) -> tuple[tuple[int, str], ...]:
    """The names of objects by their numbers, ascending, as the `points` text gives them.

    Raises InputError, naming the entry, for anything but a dict of numbers and texts that say
    something.
    """
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise InputError(
            f"{name}: found a {type(value).__name__}, a dict is expected. {_ACCEPTED}."
        )
    names = []
    for key, text in value.items():
        if not _NUMBER.fullmatch(key) or int(key) > LAST_NUMBER:
            raise InputError(
                f'{name}: found "{key[:40]}", the object is a whole number from 0. {_ACCEPTED}.'
            )
        if not isinstance(text, str) or not text.strip():
            raise InputError(
                f"{name}.{key}: found no text, a name is a text that is not empty. {_ACCEPTED}."
            )
        names.append((int(key), text.strip()))
    return tuple(sorted(names))
