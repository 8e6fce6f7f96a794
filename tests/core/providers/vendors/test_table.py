"""The help page's list of the vendors' items is whole, and speaks of each input."""

from __future__ import annotations

import pytest
from segment_anywhere.core.providers.registry import PROVIDERS

from tests.support.paths import ROOT

PAGE = ROOT / "web" / "docs" / "SegmentAnywhereRemote" / "vendors.md"
# As counted on the vendors' pages.
ITEMS = {"ImagineoAI": 14, "AI Refinery": 18, "Segmind": 17, "MoArk": 16, "fal": 32}


def sections() -> dict[str, str]:
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    return {title: text for title, _, text in (part.partition("\n") for part in parts)}


def test_every_item_has_a_row_that_says_what_serves_it():
    counted = {}
    for title, text in sections().items():
        lines = [line for line in text.splitlines() if line.startswith("|")][2:]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        assert all(len(row) == 3 and row[0] and row[1] for row in rows)
        assert len({row[0] for row in rows}) == len(rows)
        counted[title] = len(rows)
    assert counted == ITEMS
    assert "The 97 items" in PAGE.read_text(encoding="utf-8")
    assert sum(counted.values()) == 97


@pytest.mark.parametrize(
    "provider", [p for p in PROVIDERS.values() if p.title in ITEMS], ids=lambda p: p.key
)
def test_every_input_of_a_provider_is_in_it(provider):
    text = sections()[provider.title]
    names = [field.name for field in provider.fields]
    assert [name for name in names if f"`{name}`" not in text] == []
