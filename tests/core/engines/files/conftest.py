"""A model hub for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.model_hub import Hub, serving_hub


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[Hub]:
    """The hub that downloads come from; the folder of the hub's own cache is in tmp_path."""
    with serving_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        monkeypatch.delenv("HF_HUB_CACHE", raising=False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub
