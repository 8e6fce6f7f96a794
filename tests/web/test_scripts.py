"""The scripts themselves: their types, and the parser on the node's own table."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from segment_anywhere.core.pictures.render import PALETTE

from tests.support.needs import missing
from tests.support.paths import ROOT

SCRIPTS = ROOT / "web" / "js"
TYPESCRIPT = Path(sys.prefix) / "node" / "node_modules" / ".bin" / "tsc"


def _run(*command: str | Path) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_parser_reads_the_nodes_table():
    node = shutil.which("node")
    if node is None:
        missing("no node here: install Debian's packages nodejs and npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    numbers = tuple(map(int, re.findall(r"\d+", version.stdout)[:2]))
    if numbers < (18, 19):
        missing(f"node {version.stdout.strip()} is older than 18.19, the first that reads modules")
    # From 20.19 on node sees for itself that the scripts are modules.
    flags = ("--experimental-default-type=module",) if numbers < (20, 19) else ()
    _run(node, *flags, "--test", *sorted((ROOT / "tests" / "web").glob("*.test.mjs")))


def test_the_types_are_right():
    if not TYPESCRIPT.is_file():
        missing(f"no TypeScript at {TYPESCRIPT}: `make frontends` fetches it")
    _run(
        *(TYPESCRIPT, "--noEmit", "--allowJs", "--checkJs", "--strict"),
        *("--target", "es2022", "--lib", "es2022,dom,dom.iterable"),
        *("--module", "esnext", "--moduleResolution", "bundler", "--allowImportingTsExtensions"),
        SCRIPTS / "segment_anywhere.js",
    )


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.js")), ids=lambda path: path.name)
def test_only_the_adapter_knows_comfyui(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("// @ts-check")
    imported = re.findall(r'^import .* from "(.+)";$', text, re.MULTILINE)
    foreign = [name for name in imported if not name.startswith("./")]
    wanted = ["../../../scripts/api.js", "../../../scripts/app.js"]
    assert foreign == (wanted if path.name == "segment_anywhere.js" else [])
    assert not re.search(r"\beval\b|innerHTML|new Function|document\.write", text)


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.js")), ids=lambda path: path.name)
def test_the_editor_does_not_lean_on_the_adapter(path):
    """What is not named after ComfyUI works in any page."""
    if path.name.startswith("comfy_") or path.name == "segment_anywhere.js":
        return
    assert not re.search(r'from "\./comfy_|window\.app|LiteGraph', path.read_text(encoding="utf-8"))


def test_the_editor_has_the_colours_of_the_results():
    """An object has one colour in the editor, in the live preview and in every picture."""
    text = (SCRIPTS / "drawing.js").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^const PALETTE = \[(.*)\];$", text, re.MULTILINE)
    assert re.findall(r'"#(.*?)"', listed) == [bytes(colour).hex() for colour in PALETTE]
