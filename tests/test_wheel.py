"""The pack as a library: a wheel, unpacked where ComfyUI is not, and the README's script on it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.paths import ROOT

SCRIPT = re.compile(r"## From Python\n.*?```python\n(.*?)```", re.DOTALL)
WATCHED = """
import sys
import segment_anywhere
assert not {"comfy", "comfy_api", "folder_paths"} & set(sys.modules)
print(segment_anywhere.__file__)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder for packages with what the wheel has, built from a copy."""
    source, wheels, site = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site"))
    skipped = shutil.ignore_patterns(".*", "tests", "__pycache__", "web", "artifacts")
    shutil.copytree(ROOT, source, ignore=skipped, dirs_exist_ok=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", wheels, source], check=True)
    [wheel] = wheels.iterdir()
    zipfile.ZipFile(wheel).extractall(site)
    return site


def test_the_wheel_has_all_of_core(site):
    there = {path.relative_to(ROOT) for path in (ROOT / "core").rglob("*.py")}
    package = site / "segment_anywhere"
    assert {path.relative_to(package) for path in (package / "core").rglob("*.py")} == there
    assert not (package / "nodes").exists()


def test_the_readmes_script_segments_a_file(site, tmp_path):
    [script] = SCRIPT.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    (tmp_path / "script.py").write_text(script + WATCHED)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(site))
    mask = np.asarray(Image.open(tmp_path / "flower.png"))
    photo = Image.open(ROOT / "workflows" / "images" / "dahlia.jpg")
    assert mask.shape == (photo.height, photo.width)
    assert mask[215, 310] == 255
    assert mask[5, 5] == 0
    assert 0.02 < (mask > 127).mean() < 0.5
