"""ARCHITECTURE.md and CONTRIBUTING.md name what is in the tree, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAPERS = ("ARCHITECTURE.md", "CONTRIBUTING.md")
# `folder/`, `folder/file.py`, `folder/file.py:Class.method`; with <...> it is a pattern.
_PLACE = re.compile(r"`((?:\.?[\w-]+/)*[\w.-]*(?:/|\.\w+)|\.ci/run)(?::([\w.]+))?`")


def _text(paper: str) -> str:
    return (ROOT / paper).read_text(encoding="utf-8")


def _places(paper: str) -> list[tuple[str, str]]:
    found = {match.groups(default="") for match in _PLACE.finditer(_text(paper))}
    return sorted((path, name) for path, name in found if "/" in path or name)


def _names(path: Path) -> set[str]:
    """What a file defines: `name`, and `Class.name` for what a class does."""
    if path.suffix != ".py":
        return set(re.findall(r"(?:class|function|const) (\w+)", path.read_text(encoding="utf-8")))
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names |= {(own := _name(node)), *(f"{own}.{_name(each)}" for each in _body(node))}
    return names


def _body(node: ast.stmt) -> list[ast.stmt]:
    return node.body if isinstance(node, ast.ClassDef) else []


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    return getattr(node, "name", "")


@pytest.mark.parametrize("paper", PAPERS)
def test_every_place_is_there(paper):
    places = _places(paper)
    assert len(places) > 20
    missing = []
    for path, name in places:
        if not (ROOT / path).exists():
            missing.append(path)
        elif name and name not in _names(ROOT / path):
            missing.append(f"{path}:{name}")
    assert not missing


def test_the_places_are_told_from_other_words():
    text = "`core/a.py:B.c`, `core/`, `.github/workflows/x.yml`, `make test`, `version`, `points`"
    assert [match.groups(default="") for match in _PLACE.finditer(text)] == [
        ("core/a.py", "B.c"),
        ("core/", ""),
        (".github/workflows/x.yml", ""),
    ]


def test_every_room_is_described():
    rooms = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        for top in ("core", "nodes", "headless")
        for path in (ROOT / top).glob("*/__init__.py")
    }
    assert len(rooms) > 8
    described = _text("ARCHITECTURE.md")
    assert not {room for room in rooms if f"`{room}`" not in described}


@pytest.mark.parametrize("paper", PAPERS)
def test_a_paper_stays_short(paper):
    assert len(_text(paper).splitlines()) < 150
