"""Servers for the tests of remote providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from segment_anywhere.core.providers import jobs

from tests.support.servers import SERVERS, ProviderServer, serving


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
