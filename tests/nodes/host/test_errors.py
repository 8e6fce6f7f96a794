"""How ComfyUI shows the pack's errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from segment_anywhere.core import errors
from segment_anywhere.core.providers.contract import ProviderError


def _all(kind: type[Exception] = errors.SegmentAnywhereError) -> Iterator[type[Exception]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _all(derived)


@pytest.mark.parametrize("kind", list(dict.fromkeys(_all())), ids=lambda kind: kind.__name__)
def test_no_path_comes_before_a_message(kind):
    """ComfyUI leaves the module of what is built in away; tests/e2e asks it."""
    assert kind.__module__ == "builtins"


def test_the_providers_error_is_among_them():
    assert ProviderError in set(_all())
