"""The files of all templates, as text, and where they lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from segment_anywhere.core.engines.files.catalogue import CATALOGUE, DETECTORS, MATTING

from .. import ROOT
from .files import api_graph, api_text, editor_text
from .graph import Graph, Lesson
from .lessons import LESSONS
from .others import OTHERS
from .parts import note_text
from .pictures import PICTURES

WORKFLOWS = ROOT / "workflows"
LIST = WORKFLOWS / "README.md"
_SIZES = {entry.name: entry.size_text for entry in (*CATALOGUE, *DETECTORS, *MATTING)}
_SIZE_OF = re.compile(r"\{(.+?)\}")
_HEAD = """# Templates

ComfyUI shows them under *Templates > Extensions*. The files in `api/` are the same graphs for
`run_workflow.py`. `make templates` writes all of this from `tools/templates`.

| Template | For the command line | Opens | Download |
|---|---|---|---|
"""


def all_lessons() -> tuple[Lesson, ...]:
    """All templates: the course, then the others."""
    return (*LESSONS, *OTHERS)


def lesson_named(name: str) -> Lesson:
    """The template of this name; raises KeyError where there is none."""
    return {lesson.name: lesson for lesson in all_lessons()}[name]


def editor_path(lesson: Lesson) -> Path:
    return WORKFLOWS / f"{lesson.title}.json"


def card_path(name: str) -> Path:
    """Where the card of the template of this name lies."""
    return WORKFLOWS / f"{lesson_named(name).title}.jpg"


def api_path(lesson: Lesson) -> Path:
    return WORKFLOWS / "api" / f"{lesson.name}.json"


def build(lesson: Lesson) -> Graph:
    """The graph of a template, with its note."""
    graph = Graph()
    lesson.build(graph, PICTURES[lesson.picture])
    graph.add("MarkdownNote", column=0, text=note_of(lesson))
    return graph


def note_of(lesson: Lesson) -> str:
    """The text of a template's note, with the sizes of the catalogue."""
    downloads = [(name, _SIZES[name]) for name in lesson.downloads]
    return note_text(lesson.note, downloads, _SIZE_OF.sub(_size, lesson.needs))


def _size(match: re.Match[str]) -> str:
    return _SIZES[match[1]]


def texts(lesson: Lesson) -> Mapping[Path, str]:
    """The JSON files of a template by their place."""
    graph = build(lesson)
    return {
        editor_path(lesson): editor_text(lesson, graph),
        api_path(lesson): api_text(api_graph(graph)),
    }


def list_text() -> str:
    """The list of all templates, in Markdown."""
    rows = []
    for lesson in all_lessons():
        sizes = ", ".join(f"{name}, {_SIZES[name]}" for name in lesson.downloads)
        cells = (lesson.title, f"`api/{lesson.name}.json`", PICTURES[lesson.picture].file)
        rows.append(f"| {' | '.join(cells)} | {sizes or 'none'} |\n")
    return _HEAD + "".join(rows)
