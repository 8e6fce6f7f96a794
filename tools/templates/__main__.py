"""Writes the templates, their cards and their list: python -m tools.templates [NAME...]

With names, the cards of those alone are made anew: each comes from a run of the template.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from PIL import Image

from tests.support.paths import FIXTURES
from tests.support.servers import SERVERS, serving
from tests.support.servers.__main__ import environment

from .. import ROOT
from .graph import Lesson
from .pictures import PICTURES, draw_missing
from .writing import (
    LIST,
    all_lessons,
    api_path,
    build,
    card_path,
    lesson_named,
    list_text,
    texts,
)

# The small models of the tests that cards are made with, in place of what would be downloaded.
_SMALL = {
    "clipseg/tiny": "clipseg_tiny",
    "detection/tiny": "segformer_tiny",
    "sam3/tiny": "sam3_tiny",
}
_QUALITY = 88


def write_texts() -> None:
    """Write the JSON files of all templates and the list."""
    for lesson in all_lessons():
        for path, text in texts(lesson).items():
            path.write_text(text, encoding="utf-8")
    LIST.write_text(list_text(), encoding="utf-8")


@contextmanager
def _surroundings() -> Iterator[Path]:
    """A folder with small models; loopback servers of all providers, named in the environment."""
    with ExitStack() as stack:
        started = {key: stack.enter_context(serving(cls())) for key, cls in SERVERS.items()}
        os.environ.update(environment(started))
        models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for place, fixture in _SMALL.items():
            shutil.copytree(FIXTURES / fixture, models / place)
        yield models


def make_card(lesson: Lesson, models: Path) -> None:
    """Run a template on the picture that it opens, and put what it made into its card."""
    card, photograph = lesson.card, PICTURES[lesson.picture].path
    assert card.draw is not None
    changes = [part for each in card.changes for part in ("--set", each)]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "run_workflow.py", str(api_path(lesson)), "--out", out]
        command += ["--image", str(photograph), "--models", str(models), *changes]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        prefixes = {
            node.title: node.values["filename_prefix"].rpartition("/")[2]
            for node in build(lesson).nodes
            if node.type == "SaveImage"
        }
        pictures = []
        for title in card.shows:
            pattern = f"{photograph.stem}_{prefixes[title]}*.png" if title in prefixes else ""
            paths = sorted(Path(out).glob(pattern)) if pattern else [photograph]
            pictures += [Image.open(path).copy() for path in paths]
    card.draw(pictures).save(card_path(lesson.name), quality=_QUALITY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", help="of templates whose cards are made anew")
    names = parser.parse_args().name
    draw_missing()
    write_texts()
    wanted = [lesson_named(name) for name in names] or all_lessons()
    with _surroundings() as models:
        for lesson in wanted:
            if lesson.card.made_by:
                print(f"{lesson.title}: python -m {lesson.card.made_by} draws its card")
            else:
                make_card(lesson, models)


if __name__ == "__main__":
    main()
