"""A pack of its own for each test, and a runner for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headless.local.runner import EmbeddedRunner
from tests.support.local_runs import PACK


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    root = tmp_path / "pack.v3"
    root.mkdir()
    (root / "__init__.py").write_text(PACK)
    (root / "inner.py").write_text(
        'from pathlib import Path\nLOG = Path(__file__).with_name("log")\n'
    )
    (root / "weights").write_text("1")
    return root


@pytest.fixture
def runner(pack: Path, tmp_path: Path, monkeypatch) -> Iterator[EmbeddedRunner]:
    """Its ComfyUI, and hence the input folder, is in tmp_path."""
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "comfy"))
    with EmbeddedRunner(tmp_path / "models", pack) as made:
        yield made
