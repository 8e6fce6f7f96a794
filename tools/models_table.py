"""Writes the tables of models in the README and on Load SAM's help page from the catalogue:
`python -m tools.models_table`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from segment_anywhere.core.engines.families import BUILT_IN, family_named
from segment_anywhere.core.engines.files.catalogue import CATALOGUE, DETECTORS, MATTING, Entry

from . import ROOT

README = ROOT / "README.md"
HELP = ROOT / "web" / "docs" / "SegmentAnywhereLoadSAM.md"
ALL = (*CATALOGUE, *DETECTORS, *MATTING)
_TABLE = re.compile(r"(?<=<!-- models -->\n).*?(?=<!-- /models -->)", re.DOTALL)
_HEAD = "| Family | Model | Prompts | Licence | Download |\n|---|---|---|---|---|\n"


def models_table(entries: Sequence[Entry]) -> str:
    """A table in Markdown: the built-in engine, then entries of the catalogue in their order."""
    rows = [_row("GrabCut", "built in", _prompts(BUILT_IN.name), "Apache-2.0", "none")]
    for entry in entries:
        size = entry.size_text
        source = f"{size}, by hand: [gated]({_page(entry)})" if entry.gated else size
        prompts = _prompts(entry.family)
        rows.append(_row(entry.title, entry.variant or "one", prompts, entry.licence, source))
    return _HEAD + "".join(rows)


def with_table(page: str, table: str) -> str:
    """The README or the help page with the table in its place."""
    return _TABLE.sub(lambda _: table, page)


def _prompts(name: str) -> str:
    able = family_named(name).capabilities
    kinds = {
        "points": able.points,
        "boxes (also negative)": able.boxes and able.negative_boxes,
        "boxes": able.boxes and not able.negative_boxes,
        "mask": able.masks,
        "words": able.words,
        "example boxes": able.examples,
    }
    taken = ", ".join(kind for kind, is_taken in kinds.items() if is_taken)
    return taken or "none: edges of masks"


def _page(entry: Entry) -> str:
    return f"https://huggingface.co/{entry.repository}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    for path, entries in ((README, ALL), (HELP, CATALOGUE)):
        text = path.read_text(encoding="utf-8")
        path.write_text(with_table(text, models_table(entries)), encoding="utf-8")


if __name__ == "__main__":
    main()
