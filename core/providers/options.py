"""Checks of numbers and profiles before anything is sent: not every caller is a host."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

from ..errors import InputError
from .contract import Profile
from .fields import is_whole, refusal

# What HTTP allows in the name of a header (RFC 9110).
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check_limits(concurrency: Any, timeout: Any) -> None:
    """Calls at a time, and seconds: numbers with which every call begins, and ends."""
    if not (is_whole(concurrency) and concurrency >= 1):
        raise refusal("concurrency", concurrency, "are whole numbers from 1", "Use 4")
    is_number = isinstance(timeout, Real) and not isinstance(timeout, bool)
    if not (is_number and math.isfinite(timeout) and float(timeout) > 0):
        raise refusal("timeout", timeout, "are numbers of seconds above 0", "Use 300")


def check_choice(threshold: Any, max_objects: Any, max_calls: Any) -> None:
    """The lowest score, and the most objects and calls, 0 for any number."""
    is_number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not (is_number and 0.0 <= float(threshold) <= 1.0):
        raise refusal("threshold", threshold, "are numbers from 0 to 1", "Use 0 for all")
    for name, value in (("max_objects", max_objects), ("max_calls", max_calls)):
        if not (is_whole(value) and value >= 0):
            raise refusal(name, value, "are whole numbers from 0", "Use 0 for any number")


def check_profile(profile: Profile) -> None:
    """What a profile adds to each request must fit into one. No value is shown: it may be a key."""
    tables = {name: profile.settings.get(name, {}) for name in ("headers", "body")}
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise InputError(
                f"{name}: found {type(table).__name__} in the profile; accepted is a table. "
                "Correct it in providers.toml."
            )
    for name, value in profile.extra_headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InputError(
                f"headers: found the name {name!r} in the profile; accepted are letters, digits "
                "and hyphens. Correct it in providers.toml."
            )
        if not value.isprintable():
            raise InputError(
                f"headers: the value of {name} in the profile has a line break or another control "
                "character; accepted is one line of text. Correct it in providers.toml."
            )
    try:
        json.dumps(profile.extra_body, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"body: the profile holds what JSON cannot ({error}); accepted are text, finite "
            "numbers, true, false, lists and tables. Put it in quotes in providers.toml."
        ) from None
