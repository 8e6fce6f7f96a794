"""Writes the README's table of models from the catalogue: `python -m tools.models_table`.

Runs on core alone, which it imports under the pack's name as ComfyUI does.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
_TABLE = re.compile(r"(?<=<!-- models -->\n).*?(?=<!-- /models -->)", re.DOTALL)
_HEAD = "| Family | Model | Prompts | Licence | Download |\n|---|---|---|---|---|\n"


def models_table(catalogue: types.ModuleType, families: types.ModuleType) -> str:
    """The table in Markdown: the built-in engine, then the catalogue in its order."""
    rows = [_row("GrabCut", "built in", _prompts(families, "grabcut"), "Apache-2.0", "none")]
    for entry in (*catalogue.CATALOGUE, *catalogue.DETECTORS):
        size = entry.size_text
        source = f"{size}, by hand: [gated]({_page(entry)})" if entry.gated else size
        prompts = _prompts(families, entry.family)
        rows.append(_row(entry.title, entry.variant or "one", prompts, entry.licence, source))
    return _HEAD + "".join(rows)


def with_table(readme: str, table: str) -> str:
    """The README with the table in its place."""
    return _TABLE.sub(lambda _: table, readme)


def _prompts(families: types.ModuleType, name: str) -> str:
    able = families.family_named(name).capabilities
    kinds = {
        "points": able.points,
        "boxes (also negative)": able.boxes and able.negative_boxes,
        "boxes": able.boxes and not able.negative_boxes,
        "mask": able.masks,
        "words": able.words,
    }
    return ", ".join(kind for kind, is_taken in kinds.items() if is_taken)


def _page(entry: object) -> str:
    return f"https://huggingface.co/{entry.repository}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    package = types.ModuleType("segment_anywhere")
    package.__path__ = [str(ROOT)]
    sys.modules["segment_anywhere"] = package
    catalogue = importlib.import_module("segment_anywhere.core.engines.files.catalogue")
    families = importlib.import_module("segment_anywhere.core.engines.families")
    text = README.read_text(encoding="utf-8")
    README.write_text(with_table(text, models_table(catalogue, families)), encoding="utf-8")


if __name__ == "__main__":
    main()
