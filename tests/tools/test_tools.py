"""The tools of those who work on the pack: tables, pictures, and the check of real providers."""

from __future__ import annotations

import json
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image

from tests.support.paths import ROOT
from tests.support.servers import KEY, SERVERS, faults, serving
from tests.support.servers.__main__ import environment
from tools import capability_table, draw_help, providers_check


def test_the_help_page_has_the_table_of_the_adapters():
    """`python -m tools.capability_table` writes it."""
    assert capability_table.PAGE.read_text(encoding="utf-8") == capability_table.page()


def test_the_pictures_of_the_help_pages_are_what_the_code_makes():
    """`python -m tools.draw_help` draws them; here, those that need no model."""
    made = draw_help.combine_sheet()
    shown = Image.open(ROOT / "web" / "docs" / "combine.png").convert("RGB")
    assert made.size == shown.size
    # Letters may differ by the version of the font.
    assert (np.abs(np.asarray(made, int) - np.asarray(shown, int)) <= 1).mean() > 0.97


@pytest.fixture
def servers(monkeypatch):
    """All loopback servers, with nothing else of the environment that a provider would take."""
    with ExitStack() as stack:
        started = {key: stack.enter_context(serving(cls())) for key, cls in SERVERS.items()}
        for name, value in environment(started).items():
            monkeypatch.setenv(name, value)
        yield started


def test_the_check_reports_what_came_back_without_a_key(servers, tmp_path, capsys):
    assert providers_check.main(["--out", str(tmp_path)]) == 0
    report = (tmp_path / "report.md").read_text()
    assert report.count(": works") == len(SERVERS)
    assert '"counts": "text of' in report
    assert KEY not in report + capsys.readouterr().out
    with Image.open(ROOT / "workflows" / "images" / "dahlia.jpg") as photo:
        size = photo.size
    for key, server in servers.items():
        with Image.open(tmp_path / f"{key}.jpg") as picture:
            assert picture.size == size
        assert server.billed == 1


def test_a_provider_that_fails_is_reported_and_the_others_go_on(servers, tmp_path, capsys):
    servers["segmind"].faults.append(faults.status(401, json.dumps({"error": f"bad {KEY}"})))
    assert providers_check.main(["--out", str(tmp_path), "segmind", "moark"]) == 1
    report = (tmp_path / "report.md").read_text()
    assert "Segmind: failed" in report
    assert "MoArk: works" in report
    assert KEY not in report + capsys.readouterr().out
    assert servers["fal"].received == []


def test_without_keys_the_check_says_what_to_set(monkeypatch, tmp_path, capsys):
    for provider in providers_check.PROVIDERS.values():
        for group in provider.key_variables:
            for name in group:
                monkeypatch.delenv(name, raising=False)
    assert providers_check.main(["--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    names = ("IMAGINEOAI_API_KEY", "AIR_API_KEY", "SEGMIND_API_KEY", "GITEE_AI_API_KEY", "FAL_KEY")
    assert all(name in told for name in (*names, "SEGMENT_ANYWHERE_CUSTOM_URL"))
    assert not (tmp_path / "out").exists()
