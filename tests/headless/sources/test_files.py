"""A file that cannot be read is told of before a runner sees it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headless.errors import WorkflowError
from headless.sources.files import at_hand, stamp_of
from headless.sources.units import Source


def test_a_file_is_given_by_its_whole_path(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    assert at_hand(Source("a.png")) == Source(str(tmp_path / "a.png"))


def test_gone_and_empty_files(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    for name, says in (("gone.png", "No such file"), ("empty.png", r"empty \(0 bytes\)")):
        with pytest.raises(WorkflowError, match=says):
            at_hand(Source(str(tmp_path / name)))
    with pytest.raises(WorkflowError, match="No such file"):
        stamp_of(tmp_path / "gone.png")


def test_a_file_without_rights(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    path.chmod(0)
    # Root may read everything.
    monkeypatch.setattr(os, "access", lambda place, _: Path(place) != path)
    with pytest.raises(WorkflowError, match="no right to read it"):
        at_hand(Source(str(path)))
