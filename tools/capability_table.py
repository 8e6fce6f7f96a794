"""Writes the table of what each provider takes, from the adapters, into the node's help page.

python -m tools.capability_table
"""

from __future__ import annotations

from segment_anywhere.core.providers.contract import Features, Provider  # noqa: E402, I001
from segment_anywhere.core.providers.registry import PROVIDERS  # noqa: E402

from . import ROOT

PAGE = ROOT / "web" / "docs" / "SegmentAnywhereRemote.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
_COLUMNS = {
    "words": "text",
    "everything": "everything",
    "the subject": "subject",
    "not these words": "negative_text",
    "clicks": "points",
    "negative clicks": "negative_points",
    "boxes": "boxes",
    "several objects": "several",
    "scores": "scores",
}


def table() -> str:
    """The table in Markdown: a row for each provider, or for each endpoint of one."""
    lines = [
        f"| | {' | '.join(_COLUMNS)} |",
        f"|---|{'---|' * len(_COLUMNS)}",
    ]
    for provider in PROVIDERS.values():
        for variant, features in provider.variants.items():
            lines.append(f"| {_name(provider, variant)} | {_cells(features)} |")
    return "\n".join(lines)


def page() -> str:
    """The help page with the table as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _name(provider: Provider, variant: str) -> str:
    return f"**{provider.key}** {variant}".strip()


def _cells(features: Features) -> str:
    return " | ".join("yes" if getattr(features, field) else "" for field in _COLUMNS.values())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
