"""The pack as a whole: what importing it does, and what its files promise each other."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest
from segment_anywhere.core.engines.files import catalogue

from tests.support.paths import ROOT
from tools import models_table

IMPORT_AS_COMFYUI_DOES = """
import asyncio, importlib.util, sys
from pathlib import Path
from headless.local.pack import host_dirs, start_host
start_host(host_dirs(Path("models"), Path(".")))
path, modules = list(sys.path), set(sys.modules)
root = Path({root!r})
name = str(root).replace(".", "_x_")
spec = importlib.util.spec_from_file_location(
    name, root / "__init__.py", submodule_search_locations=[str(root)]
)
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
nodes = asyncio.run(asyncio.run(module.comfy_entrypoint()).get_node_list())
for node in nodes:
    node.GET_SCHEMA()
assert sys.path == path, "sys.path was changed"
new = {{each.split(".")[0] for each in set(sys.modules) - modules}}
heavy = new & {{"transformers", "cv2", "huggingface_hub", "torchvision", "sam2"}}
assert not heavy, heavy
print(module.WEB_DIRECTORY, len(nodes))
"""


def test_importing_is_light_and_leaves_sys_path_alone():
    code = IMPORT_AS_COMFYUI_DOES.format(root=str(ROOT))
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[0] == "./web"


def _modules(folder: str) -> list:
    return sorted((ROOT / folder).rglob("*.py"))


def _imports(path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("path", _modules("core"), ids=lambda path: path.name)
def test_core_knows_nothing_of_the_host_and_of_the_nodes(path):
    for name in _imports(path):
        assert name.split(".")[0] not in {"comfy", "comfy_api", "folder_paths", "server", "nodes"}
        assert "nodes" not in name.split(".")


@pytest.mark.parametrize("path", _modules("nodes"), ids=lambda path: path.name)
def test_only_host_imports_comfyui(path):
    if path.parent.name == "host":
        return
    for name in _imports(path):
        assert name.split(".")[0] not in {"comfy", "folder_paths", "server"}


def test_opencv_comes_through_one_file():
    """Which says what to install where it is missing."""
    paths = [path for folder in ("core", "nodes", "headless") for path in _modules(folder)]
    importing = [path for path in paths if "cv2" in _imports(path)]
    assert importing == [ROOT / "core" / "opencv.py"]


def test_what_is_installed_is_left_alone():
    """A version would replace what other packs run on, and so would any of OpenCV's packages."""
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w-]+(; python_version .*)?", line)
        assert not line.startswith("opencv")


def test_the_dependencies_are_listed_twice_alike():
    wanted = [
        line
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    project = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)[1]
    assert sorted(re.findall(r'"(.+?)"', listed)) == sorted(wanted)


@pytest.mark.parametrize(
    ("path", "entries"),
    [(models_table.README, models_table.ALL), (models_table.HELP, catalogue.CATALOGUE)],
    ids=["README", "help"],
)
def test_the_tables_of_models_are_the_catalogues(path, entries):
    page = path.read_text(encoding="utf-8")
    table = models_table.models_table(entries)
    assert table.count("\n") == len(entries) + 3
    assert table in page, "run `python -m tools.models_table`"


def test_every_benchmark_and_tool_can_be_imported():
    """Nothing else runs them here, and what they import may move."""
    names = [
        f"{path.parent.name}.{path.stem}"
        for folder in ("benchmarks", "tools")
        for path in (ROOT / folder).glob("*.py")
        if path.stem != "__init__"
    ]
    # The one that starts ComfyUI's stand-in comes first.
    names.sort(key=lambda name: name != "benchmarks.bench_preview")
    code = "\n".join(f"import {name}" for name in names)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
